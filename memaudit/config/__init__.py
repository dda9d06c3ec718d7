"""What a run is asked to do: frozen, checked when made, with a digest."""

from memaudit.config.checks import CLOSED_FORM, digest
from memaudit.config.scan import (
    Corruption,
    DataOptions,
    Device,
    Dtype,
    Reconstruction,
    ResizePolicy,
    Sampler,
    ScanConfig,
)
from memaudit.config.train import LossName, Prediction, ScheduleName, TrainConfig

__all__ = [
    "CLOSED_FORM",
    "Corruption",
    "DataOptions",
    "Device",
    "Dtype",
    "LossName",
    "Prediction",
    "Reconstruction",
    "ResizePolicy",
    "Sampler",
    "ScanConfig",
    "ScheduleName",
    "TrainConfig",
    "digest",
]

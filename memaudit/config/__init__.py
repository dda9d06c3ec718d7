"""What a run is asked to do: frozen, checked when made, with a digest."""

from memaudit.config.base import Base, base_options
from memaudit.config.checks import CLOSED_FORM, absolute, digest, keep_apart
from memaudit.config.compare import CompareConfig
from memaudit.config.corrupted import Consistency, Mask, MaskKind, mask_options
from memaudit.config.scan import (
    BESIDE,
    NO_COPIES,
    REFERENCE_SCORE,
    SCORE,
    UNRELATED,
    Corruption,
    DataOptions,
    Device,
    Dtype,
    PromptPolicy,
    Reconstruction,
    ResizePolicy,
    Sampler,
    ScanConfig,
)
from memaudit.config.train import (
    RESOLUTION,
    LossName,
    Precision,
    Prediction,
    ScheduleName,
    TrainConfig,
)

__all__ = [
    "BESIDE",
    "CLOSED_FORM",
    "NO_COPIES",
    "REFERENCE_SCORE",
    "RESOLUTION",
    "SCORE",
    "UNRELATED",
    "Base",
    "CompareConfig",
    "Consistency",
    "Corruption",
    "DataOptions",
    "Device",
    "Dtype",
    "LossName",
    "Mask",
    "MaskKind",
    "Precision",
    "Prediction",
    "PromptPolicy",
    "Reconstruction",
    "ResizePolicy",
    "Sampler",
    "ScanConfig",
    "ScheduleName",
    "TrainConfig",
    "absolute",
    "base_options",
    "digest",
    "keep_apart",
    "mask_options",
]

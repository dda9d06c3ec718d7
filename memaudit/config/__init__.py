"""What a run is asked to do: frozen, checked when made, with a digest."""

from memaudit.config.attack import (
    BESIDE,
    MEMBERSHIP,
    NO_ATTACK,
    NO_COPIES,
    RECONSTRUCTIONS,
    REFERENCE_SCORE,
    SCORE,
    UNRELATED,
    AttackConfig,
    Noise,
    PromptPolicy,
    Reconstruction,
    Sampler,
)
from memaudit.config.base import Base
from memaudit.config.checks import CLOSED_FORM, absolute, digest, keep_apart
from memaudit.config.compare import CompareConfig
from memaudit.config.convert import ConvertConfig
from memaudit.config.corrupted import Consistency, Mask, MaskKind
from memaudit.config.data import AlphaPolicy, DataConfig, DataOptions, ResizePolicy
from memaudit.config.gate import GateConfig
from memaudit.config.hiding import (
    BY_SHARE,
    NOISE,
    NOISE_AND_MASK,
    OBJECT,
    RESTORATIONS,
    Hiding,
    HidingKind,
    Restoration,
)
from memaudit.config.inspect import InspectConfig
from memaudit.config.report import Format, ReportConfig
from memaudit.config.scan import (
    CalibrationConfig,
    Device,
    Dtype,
    ExecutionConfig,
    ModelConfig,
    ScanConfig,
)
from memaudit.config.split import SplitConfig
from memaudit.config.train import (
    RESOLUTION,
    LossName,
    Precision,
    Prediction,
    ScheduleName,
    TrainConfig,
)
from memaudit.config.verify import ReplayConfig, VerifyConfig

__all__ = [
    "BESIDE",
    "BY_SHARE",
    "CLOSED_FORM",
    "MEMBERSHIP",
    "NOISE",
    "NOISE_AND_MASK",
    "NO_ATTACK",
    "NO_COPIES",
    "OBJECT",
    "RECONSTRUCTIONS",
    "REFERENCE_SCORE",
    "RESOLUTION",
    "RESTORATIONS",
    "SCORE",
    "UNRELATED",
    "AlphaPolicy",
    "AttackConfig",
    "Base",
    "CalibrationConfig",
    "CompareConfig",
    "Consistency",
    "ConvertConfig",
    "DataConfig",
    "DataOptions",
    "Device",
    "Dtype",
    "ExecutionConfig",
    "Format",
    "GateConfig",
    "Hiding",
    "HidingKind",
    "InspectConfig",
    "LossName",
    "Mask",
    "MaskKind",
    "ModelConfig",
    "Noise",
    "Precision",
    "Prediction",
    "PromptPolicy",
    "Reconstruction",
    "ReplayConfig",
    "ReportConfig",
    "ResizePolicy",
    "Restoration",
    "Sampler",
    "ScanConfig",
    "ScheduleName",
    "SplitConfig",
    "TrainConfig",
    "VerifyConfig",
    "absolute",
    "digest",
    "keep_apart",
]

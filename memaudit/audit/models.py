"""Open the model that a scan asks for."""

from __future__ import annotations

from memaudit.config import CLOSED_FORM, DataOptions, ExecutionConfig, ModelConfig
from memaudit.errors import ConfigError
from memaudit.models.device import resolve_device
from memaudit.models.load import load_model
from memaudit.models.loaded import Loaded, ModelOptions


def open_model(target: ModelConfig, data: DataOptions, execution: ExecutionConfig) -> Loaded:
    """Load the model under audit; raises ModelError if it cannot be audited."""
    device = resolve_device(execution.device)
    computes = not target.spec.startswith(CLOSED_FORM)  # in a dtype of its own
    if computes and device.type == "cpu" and target.dtype != "float32":
        raise ConfigError(
            f"--dtype {target.dtype} is for a GPU; on the CPU it is slower than float32 and less "
            "exact. Leave it out"
        )
    options = ModelOptions(
        revision=target.revision,
        variant=target.variant,
        dtype=target.dtype,
        device=str(device),
        local_files_only=execution.local_files_only,
        resolution=target.resolution,
        base=target.base_model,
        prediction=target.prediction,
        data=data,
    )
    return load_model(target.spec, options)

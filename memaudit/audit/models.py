"""Open the model that a scan asks for."""

from __future__ import annotations

from memaudit.config import CLOSED_FORM, ScanConfig
from memaudit.errors import ConfigError
from memaudit.models.device import resolve_device
from memaudit.models.load import load_model
from memaudit.models.loaded import Loaded, ModelOptions


def open_model(config: ScanConfig) -> Loaded:
    """Load the model under audit; raises ModelError if it cannot be audited."""
    device = resolve_device(config.device)
    computes = not config.model.startswith(CLOSED_FORM)  # in a dtype of its own
    if computes and device.type == "cpu" and config.dtype != "float32":
        raise ConfigError(
            f"--dtype {config.dtype} is for a GPU; on the CPU it is slower than float32 and less "
            "exact. Leave it out"
        )
    options = ModelOptions(
        revision=config.revision,
        variant=config.variant,
        dtype=config.dtype,
        device=str(device),
        local_files_only=config.local_files_only,
        resolution=config.resolution,
        base=config.base_model,
        data=config.data,
    )
    return load_model(config.model, options)

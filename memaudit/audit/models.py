"""Open the model that a scan asks for."""

from __future__ import annotations

from typing import Protocol

from memaudit.config import CLOSED_FORM, DataOptions, Device, ModelConfig
from memaudit.errors import ConfigError
from memaudit.models.device import resolve_device
from memaudit.models.load import load_model
from memaudit.models.loaded import Loaded, ModelOptions


class Execution(Protocol):
    """Where a model runs, and whether the hub may be asked for it."""

    @property
    def device(self) -> Device:
        """A device of torch, or auto."""

    @property
    def local_files_only(self) -> bool:
        """Whether the hub is left alone."""


def open_model(target: ModelConfig, data: DataOptions, execution: Execution) -> Loaded:
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
        resolution=target.sides,
        base=target.base_model,
        prediction=target.prediction,
        distilled_guidance=target.distilled_guidance,
        weights=target.weights,
        data=data,
    )
    return load_model(target.spec, options)

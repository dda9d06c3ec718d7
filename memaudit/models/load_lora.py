"""Open LoRA adapters in the pipeline that they were trained for."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import nn

from memaudit.errors import ModelError
from memaudit.models.latent_parts import brief, quiet
from memaudit.models.load_latent import load_latent, provenance_of, with_ambient
from memaudit.models.loaded import Loaded, ModelOptions
from memaudit.models.lora import ADAPTERS, base_folder
from memaudit.models.weights import freeze, sha256_file


def load_lora(folder: Path, options: ModelOptions) -> Loaded:
    """Load LoRA adapters into the pipeline that they were trained for; raises ModelError."""
    adapters = folder / ADAPTERS
    there = _tensors(adapters)  # before the base, which may be large
    base, of_base = base_folder(folder, options)
    denoiser = load_latent(base, of_base)
    try:
        with quiet():
            denoiser.pipeline.load_lora_weights(folder, weight_name=ADAPTERS, use_safetensors=True)
    except Exception as error:  # whatever diffusers and peft raise at tensors they do not expect
        raise _misfit(adapters, base, brief(error)) from error
    parts = [p for p in denoiser.pipeline.components.values() if isinstance(p, nn.Module)]
    for part in parts:
        freeze(part, folder)
    placed = sum("lora_" in name for part in parts for name, _ in part.named_parameters())
    if not there or placed != there:  # diffusers only warns of it
        raise _misfit(adapters, base, f"{placed} of {there} tensors have a place there")
    provenance = {
        **provenance_of(denoiser, base, of_base),
        "base": str(base),
        "adapters": {ADAPTERS: sha256_file(adapters)},
    }
    return with_ambient(denoiser, folder, provenance)


def _tensors(adapters: Path) -> int:
    """How many tensors need a place; raises ModelError for a damaged file."""
    try:
        with safe_open(adapters, framework="pt") as file:
            return sum(not name.endswith("alpha") for name in file.keys())  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{adapters} is not a whole .safetensors file: {error}; copy it again"
        ) from error


def _misfit(adapters: Path, base: Path, why: str) -> ModelError:
    return ModelError(
        f"the adapters in {adapters} cannot be put into {base}: {why}; name the pipeline that they "
        "were trained for with --base-model"
    )

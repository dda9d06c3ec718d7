"""LoRA adapters, as `memaudit train` and diffusers write them, in their pipeline."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import nn

from memaudit.errors import DependencyError, ModelError
from memaudit.models.families.registry import Family
from memaudit.models.families.stable_diffusion import load_latent, provenance_of, with_ambient
from memaudit.models.latent_parts import quiet
from memaudit.models.limits import naming
from memaudit.models.loaded import Loaded, ModelOptions
from memaudit.models.locate import locate, read_json
from memaudit.models.weights import freeze, sha256_file

ADAPTERS = "pytorch_lora_weights.safetensors"  # what diffusers calls them
TRAINED_FOR = "name the pipeline that they were trained for with --base-model"
RECORD = "lora.json"  # which base they belong to


def owns(folder: Path) -> bool:
    """Whether a folder holds adapters and no pipeline of their own."""
    return (folder / ADAPTERS).is_file() and not (folder / "model_index.json").is_file()


def load(folder: Path, options: ModelOptions) -> Loaded:
    """Load LoRA adapters into the pipeline that they were trained for; raises ModelError."""
    adapters = folder / ADAPTERS
    there = _tensors(adapters)  # before the base, which may be large
    base, of_base = _base_folder(folder, options)
    denoiser = load_latent(base, of_base)
    with quiet(), naming(f"the adapters in {adapters}, put into {base},", TRAINED_FOR):
        denoiser.pipeline.load_lora_weights(folder, weight_name=ADAPTERS, use_safetensors=True)
    parts = [p for p in denoiser.pipeline.components.values() if isinstance(p, nn.Module)]
    for part in parts:
        freeze(part, folder)
    placed = sum("lora_" in name for part in parts for name, _ in part.named_parameters())
    if not there or placed != there:  # diffusers only warns of it
        raise _misfit(adapters, base, f"{placed} of {there} tensors have a place there")
    provenance = replace(
        provenance_of(denoiser, base, of_base),
        base=str(base),
        adapters={ADAPTERS: sha256_file(adapters)},
    )
    return with_ambient(denoiser, folder, provenance)


def _base_folder(folder: Path, options: ModelOptions) -> tuple[Path, ModelOptions]:
    """Find the pipeline that adapters belong to, and how to load it.

    As asked for, else as their record says; raises ModelError if neither says, or it is not there.
    """
    record = read_json(folder / RECORD) if (folder / RECORD).is_file() else {}
    said = {name: record.get(name) for name in ("model", "revision", "variant")}
    if not all(value is None or isinstance(value, str) for value in said.values()):
        raise ModelError(
            f"{folder / RECORD} gives {said}, expected text; copy the adapters again, or remove "
            "that file and name their pipeline with --base-model"
        )
    model = options.base or said["model"]
    options = replace(
        options,
        revision=None if options.base else said["revision"],  # options.revision is the adapters'
        variant=said["variant"] or options.variant,
    )
    if not model:
        raise ModelError(
            f"{folder} holds LoRA adapters and no {RECORD} that names the pipeline they were "
            "trained for; give it with --base-model"
        )
    try:
        return locate(model, options)[0], options
    except (DependencyError, ModelError) as error:
        raise type(error)(
            f"the adapters in {folder} belong to {model}: {error}. If that pipeline is somewhere "
            "else, name it with --base-model"
        ) from error


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


FAMILY = Family(load, owns, on_base=True)

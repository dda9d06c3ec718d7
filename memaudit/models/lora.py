"""LoRA adapters in a folder, as `memaudit train` and diffusers write them, and their base."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from memaudit.errors import DependencyError, ModelError
from memaudit.models.loaded import ModelOptions
from memaudit.models.locate import locate, read_json

ADAPTERS = "pytorch_lora_weights.safetensors"  # what diffusers calls them
RECORD = "lora.json"  # which base they belong to


def is_lora(folder: Path) -> bool:
    """Whether a folder holds adapters and no pipeline of their own."""
    return (folder / ADAPTERS).is_file() and not (folder / "model_index.json").is_file()


def base_folder(folder: Path, options: ModelOptions) -> tuple[Path, ModelOptions]:
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

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
    model = options.base
    if model is None and (folder / RECORD).is_file():
        record = read_json(folder / RECORD)
        model = record.get("model")
        options = replace(options, revision=record.get("revision"), variant=record.get("variant"))
    if not isinstance(model, str):
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

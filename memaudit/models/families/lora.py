"""LoRA adapters, as `memaudit train`, diffusers, peft and kohya write them, in their pipeline."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

from torch import nn

from memaudit.errors import DependencyError, ModelError
from memaudit.models.families.adapters import find_adapters, read_adapters
from memaudit.models.families.registry import FAMILIES, PIPELINES, Family
from memaudit.models.latent import LatentDenoiser
from memaudit.models.latent_parts import quiet
from memaudit.models.limits import naming
from memaudit.models.loaded import Loaded, ModelOptions, expect_plain
from memaudit.models.locate import class_name, locate, read_json
from memaudit.models.names import say_dropped
from memaudit.models.parts import adapters_in
from memaudit.models.pipelines import with_ambient
from memaudit.models.weights import freeze, sha256_file, tensors_in

TRAINED_FOR = "--base-model must name the pipeline that they were trained for"
RECORD = "lora.json"  # which base they belong to


def owns(place: Path) -> bool:
    """Whether a place is a file of adapters, or a folder that holds them and no model."""
    model = any((place / name).is_file() for name in ("model_index.json", "config.json"))
    return not model and bool(find_adapters(place))


def load(place: Path, options: ModelOptions) -> Loaded:
    """Load LoRA adapters into the pipeline that they were trained for; raises ModelError."""
    adapters = _only(place)
    folder = adapters.parent
    tensors = read_adapters(adapters)  # before the base, which may be large
    base, of_base = _base_folder(folder, options)
    opened = _open(base, of_base)
    denoiser = cast(LatentDenoiser, opened.denoiser)
    with quiet(), naming(f"the adapters in {adapters}, put into {base},", TRAINED_FOR):
        denoiser.pipeline.load_lora_weights(tensors)
    parts = [p for p in denoiser.pipeline.components.values() if isinstance(p, nn.Module)]
    for part in parts:
        freeze(part, folder)
    there = sum(not name.endswith("alpha") for name in tensors)
    placed = sum("lora_" in name for part in parts for name, _ in part.named_parameters())
    if placed != there:  # diffusers only warns of it
        raise ModelError(
            f"the adapters in {adapters} do not fit {base}: {placed} of {there} tensors have a "
            f"place there; {TRAINED_FOR}"
        )
    added = adapters_in(denoiser.pipeline.components, adapters)
    provenance = replace(
        opened.provenance,
        family="lora",
        base=str(base),
        adapters={adapters.name: sha256_file(adapters)},
        parts={**opened.provenance.parts, "adapters": added},
    )
    provenance = say_dropped(provenance, {"adapters": tensors_in(adapters)})
    return with_ambient(denoiser, folder, provenance)


def _open(base: Path, options: ModelOptions) -> Loaded:
    """Open the pipeline that adapters are put into; raises ModelError if it is none."""
    family = PIPELINES.get(class_name(base) or "")
    if family is None:
        raise ModelError(
            f"{base} is {class_name(base) or 'no pipeline folder'}, expected a pipeline of one of "
            f"these classes, which adapters are put into: {', '.join(PIPELINES)}; {TRAINED_FOR}"
        )
    return FAMILIES.load(family).load(base, options)


def _only(place: Path) -> Path:
    found = find_adapters(place)
    if len(found) > 1:
        names = ", ".join(path.name for path in found[:4])
        raise ModelError(
            f"{place} holds {len(found)} files of LoRA adapters ({names}), expected one; give the "
            "file itself as MODEL"
        )
    return found[0]


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
    expect_plain(said["revision"] or None, said["variant"] or None, str(folder / RECORD))
    model = options.base or said["model"]
    options = replace(
        options,
        revision=None
        if options.base
        else said["revision"] or None,  # options.revision is the adapters'
        variant=said["variant"] or options.variant,
        weights=options.weights or "plain",  # those that adapters are trained for
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


FAMILY = Family(load, owns, on_base=True)

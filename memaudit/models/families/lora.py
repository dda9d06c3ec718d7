"""LoRA adapters, as `memaudit train` and the trainers of others write them, in their pipeline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch

from memaudit.errors import DependencyError, ModelError
from memaudit.models.families.adapters import find_adapters, read_adapters
from memaudit.models.families.registry import FAMILIES, PIPELINES, Family
from memaudit.models.latent import LatentDenoiser
from memaudit.models.latent_parts import quiet
from memaudit.models.limits import naming
from memaudit.models.loaded import Loaded, ModelOptions, expect_plain
from memaudit.models.locate import class_name, locate, read_json
from memaudit.models.lora.adapter import Adapter
from memaudit.models.lora.effect import ask, encode, expect_change, rounding
from memaudit.models.lora.fitted import TRAINED_FOR, Fitted, fit
from memaudit.models.lora.names import layout_of
from memaudit.models.lora.places import Places
from memaudit.models.lora.put import put
from memaudit.models.names import say_dropped
from memaudit.models.parts import adapters_in, numbers_of_adapters
from memaudit.models.pipelines import with_ambient
from memaudit.models.weights import sha256_file, tensors_in

RECORD = "lora.json"  # which base they belong to


def owns(place: Path) -> bool:
    """Whether a place is a file of adapters, or a folder that holds them and no model."""
    model = any((place / name).is_file() for name in ("model_index.json", "config.json"))
    return not model and bool(find_adapters(place))


def load(place: Path, options: ModelOptions) -> Loaded:
    """Load adapters into the pipeline that they were trained for; raises ModelError.

    Each of their tensors has a place there, and what the pipeline answers is changed by them.
    """
    file = _only(place)
    adapters = read_adapters(file)  # before the base, which may be large
    base, of_base = _base_folder(file.parent, options)
    opened = _open(base, of_base)
    denoiser = cast(LatentDenoiser, opened.denoiser)
    what = f"the adapters in {file}, put into {base},"
    with quiet(), naming(what, TRAINED_FOR):
        fitted = adapt(denoiser, adapters, what)
    own = numbers_of_adapters(denoiser.backbone.network)
    added = adapters_in(denoiser.pipeline.components, file)
    provenance = replace(
        opened.provenance,
        family="lora",
        base=str(base),
        parameters=(opened.provenance.parameters or 0) + own,
        adapters={file.name: sha256_file(file)},
        parts={**opened.provenance.parts, "adapters": added},
        details={**opened.provenance.details, "adapters": _described(adapters, fitted)},
    )
    provenance = say_dropped(provenance, {"adapters": tensors_in(file)})
    return with_ambient(denoiser, file.parent, provenance)


def adapt(denoiser: LatentDenoiser, adapters: Sequence[Adapter], what: str) -> Sequence[Fitted]:
    """Put adapters into the pipeline of a denoiser, part by part, and expect each to change it."""
    places = Places(denoiser.pipeline, denoiser.backbone.network)
    fitted = fit(adapters, places, what)
    own, *encoders = places.parts
    told = encode(denoiser)
    answer = ask(denoiser, told)
    least = rounding(denoiser, told, answer)
    tells = told
    for part in encoders:
        if _put(part, fitted, places, what):
            before, tells = tells, encode(denoiser)
            half = torch.finfo(next(places.parts[part].parameters()).dtype).eps / 2
            expect_change(before, tells, half, part, what)
    if _put(own, fitted, places, what):
        expect_change({own: answer}, {own: ask(denoiser, told)}, least, own, what)
    if tells is not told:
        expect_change({own: answer}, {own: ask(denoiser, tells)}, least, own, what)
    return fitted


def _put(part: str, fitted: Sequence[Fitted], places: Places, what: str) -> bool:
    """Put the adapters of one part into it; whether there are any."""
    own = [one for one in fitted if one.part == part]
    put(own, places.parts[part], what)
    return bool(own)


def _described(adapters: Sequence[Adapter], fitted: Sequence[Fitted]) -> dict[str, Any]:
    """What is kept of adapters: whose layouts they are in, of which kinds, and how many layers."""
    names = [name for adapter in adapters for name in adapter.names.values()]
    return {
        "layouts": sorted({layout_of(name) for name in names}),
        "kinds": sorted({adapter.kind for adapter in adapters}),
        "layers": dict(sorted(Counter(one.part for one in fitted).items())),
    }


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

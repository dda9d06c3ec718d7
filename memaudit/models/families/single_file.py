"""Models in one file, as their authors write them: .safetensors, or GGUF."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torch import nn

from memaudit.models.families.registry import Family
from memaudit.models.latent_parts import load_part
from memaudit.models.loaded import Loaded, ModelOptions
from memaudit.models.pipelines import put_together, said_of
from memaudit.models.single.checkpoint import open_checkpoint
from memaudit.models.single.frame import framed
from memaudit.models.single.layouts import layouts_of
from memaudit.models.single.opened import Opened, hold
from memaudit.models.single.parts import build
from memaudit.models.single.prediction import expect_schedule
from memaudit.models.single.quantized import refuse_quantized
from memaudit.models.single.strangers import refuse_strangers, unknown


def owns(place: Path) -> bool:
    """Whether a place is a file: what it holds is found out, and said, when it is loaded."""
    return place.is_file()


def load(place: Path, options: ModelOptions) -> Loaded:
    """Open a model in one file; raises ModelError for what it lacks, and for what has no place."""
    checkpoint = open_checkpoint(place)
    refuse_strangers(checkpoint)
    refuse_quantized(checkpoint)
    layouts = layouts_of(checkpoint.tensors)
    if not layouts:
        raise unknown(checkpoint)
    with framed(checkpoint, layouts, options) as frame:
        return _load(hold(checkpoint, frame, options), options)


def _load(opened: Opened, options: ModelOptions) -> Loaded:
    checkpoint, frame = opened.checkpoint, opened.frame
    parts: dict[str, nn.Module] = {
        part: build(each, checkpoint, options) for part, each in opened.planned.items()
    }
    for part in opened.lacking:
        kinds = frame.recipe.parts[part]
        parts[part] = load_part(kinds, frame.folder / part, frame.index.get(part), options)
    denoiser = put_together(frame.folder, frame.recipe, parts, options, frame.said)
    if frame.base is None:
        expect_schedule(checkpoint, denoiser.parameterization)
    said = said_of(denoiser, frame.recipe, options)
    provenance = replace(
        said,
        base=None if frame.base is None else str(frame.base),
        details=said.details | {"single_file": opened.told()},
    )
    components = denoiser.pipeline.components
    return Loaded(denoiser, opened.recorded(provenance, components, options))


FAMILY = Family(load, owns, on_base=True, predicted=True)

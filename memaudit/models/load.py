"""Open whatever MODEL names, and refuse what cannot be read safely."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from memaudit.errors import ConfigError, ModelError
from memaudit.models.chosen import expect_choice
from memaudit.models.families.registry import FAMILIES, PIPELINES, Family
from memaudit.models.limits import naming
from memaudit.models.loaded import Loaded, ModelOptions
from memaudit.models.locate import class_name, locate
from memaudit.models.refused import refuse_pipeline
from memaudit.models.weights import PICKLED


def load_model(spec: str, options: ModelOptions) -> Loaded:
    """Load a model: a folder, a hub id, or NAME:PLACE of a family that is asked for by name.

    Built in are unconditional pixel models (a pipeline or a bare UNet2DModel), Stable Diffusion
    pipelines (1.x, 2.x, XL), LoRA adapters for one, and the perfect memorizer of images. Raises
    ModelError for other families, pickled weights, NaN weights and folders that are not models.
    Nothing is ever unpickled and no code of the model is run.
    """
    with naming(f"the model {spec}"):
        return _load(spec, options)


def _load(spec: str, options: ModelOptions) -> Loaded:
    name, colon, rest = spec.partition(":")
    if colon and name in FAMILIES.available():
        asked = FAMILIES.load(name)
        if asked.owns is None:
            return _asked_for(asked.load(Path(rest), options), spec, options)
    place, revision = locate(spec, options)
    family = _family_of(place)
    if options.base is not None and family is not None and not family.on_base:
        raise ConfigError(
            f"--base-model is the pipeline of LoRA adapters, and {place} is a model by itself: "
            "leave it out, or give the file of the adapters as MODEL"
        )
    if place.is_file() and any(map(place.match, PICKLED)):
        raise ModelError(
            f"{place} is a pickled file, which can run any code and is never loaded. Convert it "
            "with memaudit convert, and give the folder of a diffusers model that holds the result"
        )
    if family is None and place.is_file():
        raise ModelError(
            f"{place} is a file; give the folder of a diffusers model (model_index.json with its "
            "sub-folders, or config.json with its .safetensors), or a file of LoRA adapters"
        )
    if family is None and options.base is not None:
        raise ModelError(
            f"{place} holds no LoRA adapters: expected a .safetensors file with tensors such as "
            f"lora_A and lora_B, found {_names(place)}"
        )
    if family is None:
        refuse_pipeline(place)
    loaded = (family or FAMILIES.load("pixel")).load(place, options)
    return _asked_for(loaded, spec, options, revision)


def _names(folder: Path) -> str:
    return ", ".join(sorted(path.name for path in folder.iterdir())[:6]) or "nothing"


def _asked_for(
    loaded: Loaded, spec: str, options: ModelOptions, revision: str | None = None
) -> Loaded:
    expect_choice(loaded.provenance, options, spec)
    said = replace(loaded.provenance, model=spec, revision=revision)
    return replace(loaded, provenance=said)


def _family_of(place: Path) -> Family | None:
    """The first family that owns a folder; a file can only be of adapters."""
    pipeline = PIPELINES.get(class_name(place) or "")
    if pipeline is not None:
        return FAMILIES.load(pipeline)
    asked = [name for name in FAMILIES.available() if name not in PIPELINES.values()]
    for name in asked if place.is_dir() else ("lora",):
        family = FAMILIES.load(name)
        if family.owns is not None and family.owns(place):
            return family
    return None

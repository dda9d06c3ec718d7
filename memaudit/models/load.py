"""Open whatever MODEL names, and refuse what cannot be read safely."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from memaudit.errors import ConfigError
from memaudit.models.families.registry import FAMILIES, Family
from memaudit.models.limits import naming
from memaudit.models.loaded import Loaded, ModelOptions
from memaudit.models.locate import locate, read_json


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
    name, colon, place = spec.partition(":")
    if colon and name in FAMILIES.available():
        family = FAMILIES.load(name)
        if family.owns is None:
            loaded = family.load(Path(place), options)
            return _asked_for(loaded, spec)
    folder, revision = locate(spec, options)
    family = _family_of(folder)
    if options.base is not None and not family.on_base:
        raise ConfigError(
            f"--base-model is the pipeline of LoRA adapters, and {folder} holds none; leave it out"
        )
    return _asked_for(family.load(folder, options), spec, revision)


def _asked_for(loaded: Loaded, spec: str, revision: str | None = None) -> Loaded:
    said = replace(loaded.provenance, model=spec, revision=revision)
    return replace(loaded, provenance=said)


def _family_of(folder: Path) -> Family:
    """The first family that owns a folder; where none does, the one that can best say why not."""
    for name in FAMILIES.available():
        family = FAMILIES.load(name)
        if family.owns is not None and family.owns(folder):
            return family
    index = folder / "model_index.json"
    latent = index.is_file() and "vae" in read_json(index)
    return FAMILIES.load("stable-diffusion" if latent else "pixel")

"""Families of models by name: the built-in ones and those that other packages register."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from memaudit.models.loaded import Loaded, ModelOptions
from memaudit.plugins import Plugins

if TYPE_CHECKING:
    from memaudit.models.recipe import Recipe

GROUP = "memaudit.families"
PIPELINES = {  # which family opens a pipeline, by the class that its model_index.json names
    "StableDiffusionPipeline": "stable-diffusion",
    "StableDiffusionXLPipeline": "stable-diffusion",
    "StableDiffusionInpaintPipeline": "stable-diffusion",
    "StableDiffusionXLInpaintPipeline": "stable-diffusion",
    "StableDiffusion3Pipeline": "stable-diffusion-3",
    "FluxPipeline": "flux",
    "Flux2Pipeline": "flux2",
    "Flux2KleinPipeline": "flux2",
    "PixArtAlphaPipeline": "pixart",
    "PixArtSigmaPipeline": "pixart",
    "SanaPipeline": "sana",
    "Lumina2Pipeline": "lumina2",
    "QwenImagePipeline": "qwen-image",
    "ZImagePipeline": "z-image",
    "LDMPipeline": "latent-diffusion",
}
OTHERS = ("closed-form", "pixel", "lora", "single-file")  # in the order in which they are asked
BUILT_IN = {  # each is in the file of its name
    name: f"memaudit.models.families.{name.replace('-', '_')}:FAMILY"
    for name in dict.fromkeys((*OTHERS, *PIPELINES.values()))
}


@dataclass(frozen=True)
class Family:
    """A kind of models: `owns` tells a folder of it from others, and `load` opens it.

    `owns` reads no weights. A family without it is asked for by name: MODEL is `NAME:PLACE`, and
    `load` gets the place. `on_base`: its models are put into another, which --base-model names.
    `predicted`: its models may not say what they predict, so that --prediction does.
    `recipes` are those of its pipelines, by the class that each is of.
    """

    load: Callable[[Path, ModelOptions], Loaded]
    owns: Callable[[Path], bool] | None = None
    on_base: bool = False
    predicted: bool = False
    recipes: Mapping[str, Recipe] = field(default_factory=dict)


FAMILIES = Plugins[Family]("family", GROUP, BUILT_IN)

"""Families of models by name: the built-in ones and those that other packages register."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from memaudit.models.loaded import Loaded, ModelOptions
from memaudit.plugins import Plugins

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
OTHERS = ("closed-form", "pixel", "lora")  # in the order in which they are asked
BUILT_IN = {  # each is in the file of its name
    name: f"memaudit.models.families.{name.replace('-', '_')}:FAMILY"
    for name in dict.fromkeys((*OTHERS, *PIPELINES.values()))
}


@dataclass(frozen=True)
class Family:
    """A kind of models: `owns` tells a folder of it from others, and `load` opens it.

    `owns` reads no weights. A family without it is asked for by name: MODEL is `NAME:PLACE`, and
    `load` gets the place. `on_base`: its models are put into another, which --base-model names.
    """

    load: Callable[[Path, ModelOptions], Loaded]
    owns: Callable[[Path], bool] | None = None
    on_base: bool = False


FAMILIES = Plugins[Family]("family", GROUP, BUILT_IN)

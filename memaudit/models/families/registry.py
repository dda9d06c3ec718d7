"""Families of models by name: the built-in ones and those that other packages register."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from memaudit.models.loaded import Loaded, ModelOptions
from memaudit.plugins import Plugins

GROUP = "memaudit.families"
BUILT_IN = {  # in the order in which they are asked; the last two are slow to import
    "closed-form": "memaudit.models.families.closed_form:FAMILY",
    "pixel": "memaudit.models.families.pixel:FAMILY",
    "stable-diffusion": "memaudit.models.families.stable_diffusion:FAMILY",
    "lora": "memaudit.models.families.lora:FAMILY",
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

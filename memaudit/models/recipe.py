"""What a family of pipelines is made of: which parts are loaded, and how they become a denoiser."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from memaudit.models.latent import Backbone, LatentDenoiser
from memaudit.models.parameterization import Parameterization
from memaudit.models.vae import Vae


def _anything(pipeline: Any, folder: Path) -> None:
    """No further check."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How the pipelines of one class of diffusers are opened and read.

    `parts` names the networks that decide its answer, each with the classes that it may be of, and
    `tokenizers` what splits captions; a part in `optional` may be missing, as model_index.json says
    it is. `network` is the part that answers. `side` gives the side of its images in pixels, of
    which it must be a multiple of `multiple`; `extras` are further arguments of the pipeline's
    class, and `check` raises ModelError for pipelines that cannot be read.
    """

    family: str
    pipeline: Any
    network: str
    parts: Mapping[str, tuple[Any, ...]]
    tokenizers: Mapping[str, Any]
    backbone: Callable[[Any], Backbone]
    vae: Callable[[Any], Vae]
    reading: Callable[[Any], Parameterization]
    side: Callable[[Any], Any]
    multiple: Callable[[Any], int]
    optional: frozenset[str] = frozenset()
    extras: Mapping[str, Any] = field(default_factory=dict)
    check: Callable[[Any, Path], None] = _anything
    denoiser: Callable[..., LatentDenoiser] = LatentDenoiser

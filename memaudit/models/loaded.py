"""How a model is loaded, and what loading gives: a denoiser and where it came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch

from memaudit.config import DataOptions
from memaudit.models.ambient import Ambient
from memaudit.models.denoiser import Denoiser
from memaudit.models.provenance import Provenance

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class ModelOptions:
    """How to load a model; the words are those of diffusers.

    `base` is the pipeline that LoRA adapters are put into, where they do not say which; `data` says
    how images are found and resized, where they are what a model is made of.
    """

    revision: str | None = None
    variant: str | None = None
    dtype: str = "float32"
    device: str = "cpu"
    local_files_only: bool = False
    resolution: int | None = None
    base: str | None = None
    data: DataOptions = field(default_factory=DataOptions)


@dataclass(frozen=True)
class Loaded:
    """A denoiser and where it came from.

    `ambient` says how it was trained on noisy data; None if it was not. `folder` is where it stands
    on this machine, None for a model that is no folder.
    """

    denoiser: Denoiser
    provenance: Provenance
    ambient: Ambient | None = None
    folder: Path | None = None

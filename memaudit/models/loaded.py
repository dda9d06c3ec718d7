"""How a model is loaded, and what loading gives: a denoiser and where it came from."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch

from memaudit.config import DataOptions, Prediction
from memaudit.errors import ModelError
from memaudit.models.ambient import Ambient
from memaudit.models.denoiser import Denoiser
from memaudit.models.provenance import Provenance

PART = r"(?!\.)[^/\\\0-\x1f]+"  # of a branch or tag
REVISION = re.compile(rf"(?=.{{1,250}}$){PART}(/{PART})*")
VARIANT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
WeightsAsked = Literal["ema", "raw", "plain"] | None
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class ModelOptions:
    """How to load a model; the words are those of diffusers.

    `resolution` is the side of its images, or their height and width. `base` is the pipeline that
    LoRA adapters are put into, where they do not say which, or that a single file takes from what
    it lacks; `prediction` is what the network of a single file predicts, `distilled_guidance` what
    one is told that guidance was distilled into. `data` says how images are
    found and resized, where they are what a model is made of. `weights` chooses where EMA weights
    lie beside raw ones; "plain" are those that diffusers takes by itself.
    """

    revision: str | None = None
    variant: str | None = None
    dtype: str = "float32"
    device: str = "cpu"
    local_files_only: bool = False
    resolution: int | tuple[int, int] | None = None
    base: str | None = None
    prediction: Prediction | None = None
    distilled_guidance: float | None = None
    weights: WeightsAsked = None
    data: DataOptions = field(default_factory=DataOptions)

    @property
    def sides(self) -> tuple[int, int] | None:
        """Height and width that are asked for."""
        asked = self.resolution
        return (asked, asked) if isinstance(asked, int) else asked

    def __post_init__(self) -> None:
        """Raise ModelError for names that lead out of a folder."""
        expect_plain(self.revision, self.variant, "the command line")


def expect_plain(revision: str | None, variant: str | None, said_by: str) -> None:
    """Raise ModelError for a revision or a variant that is no plain name.

    A variant is a part of the names of weight files, a revision of those in the cache of the hub.
    """
    if variant is not None and VARIANT.fullmatch(variant) is None:
        raise ModelError(
            f"{said_by} gives the variant {variant[:80]!r}, expected a plain word such as fp16 "
            "(letters, digits, `.`, `_` and `-`); correct it, or leave it out"
        )
    if revision is not None and REVISION.fullmatch(revision) is None:
        raise ModelError(
            f"{said_by} gives the revision {revision[:80]!r}, expected a commit, or the name of a "
            "branch or a tag; correct it, or leave it out"
        )


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

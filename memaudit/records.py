"""The records that cross module borders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Split = Literal["member", "control"]
Claim = Literal["membership", "reproduction", "generation"]  # what an attack's evidence is of
Input = Literal["clean image", "noisy copy"]  # what is corrupted
Phase = Literal["full", "screen"]  # a scan in full, or the cheap first pass of an adaptive one
Image = NDArray[np.uint8]  # HWC RGB
Images = NDArray[np.uint8]  # NHWC RGB
Vectors = NDArray[np.float32]  # [N, D], unit length

CLEAN: Input = "clean image"
COPY: Input = "noisy copy"
FULL: Phase = "full"
SCREEN: Phase = "screen"
KEYS = ("example_id", "attack", "input", "phase", "level", "draw")  # of a row of scores


@dataclass(frozen=True)
class Example:
    """One decoded image; nothing tells whether it is a member.

    `id` is the sha256 (hex) of mode, size and decoded pixels before any resize: two files with
    the same pixels share it.
    """

    id: str
    image: Image


@dataclass(frozen=True)
class Column:
    """A column of scores: what it is, and which way it points.

    `higher`: a higher value is the more suspicious one. `summary` is how a finding sums it up over
    levels and draws: their mean, their median, or, of a name, that with the highest similarity
    (column `<name>_similarity`). `input` is what those rows are of that a finding sums up.
    """

    name: str
    help: str
    higher: bool = True
    summary: Literal["mean", "median", "name", "none"] = "mean"
    input: Input = CLEAN


@dataclass(frozen=True)
class Primary:
    """The score that a claim rests on, fixed before any score is known.

    The full pass of `attack`; `columns` are pooled of clean images, `of_copies` of noisy copies.
    It is evidence of `claim`, which rests on `inputs`; others that were asked about have rows and
    levels, and neither choose what an adaptive scan promotes nor enter p, q and the tests of the
    data set. `hides`: the attack hides a part of the image, and its levels are the shares hidden.
    """

    attack: str
    columns: tuple[Column, ...]
    of_copies: tuple[Column, ...] = ()
    inputs: tuple[Input, ...] = (CLEAN, COPY)
    claim: Claim = "reproduction"
    hides: bool = False

    def of(self, what: Input) -> tuple[Column, ...]:
        """The columns that are pooled of an input."""
        return self.of_copies if what == COPY else self.columns


@dataclass(frozen=True)
class Matches:
    """What the index says of a batch of B queries, each the reconstruction of a known source.

    Similarities are cosines in [-1, 1]. Everything but `own*` leaves the source's whole
    duplicate group out.
    """

    own: NDArray[np.float32]  # [B] similarity to the source
    own_rank: NDArray[np.int64]  # [B] 1 = the source is nearest among members + controls
    neighbour_ids: list[list[str]]  # [B][k] nearest others, most similar first
    neighbours: NDArray[np.float32]  # [B, k] their similarities

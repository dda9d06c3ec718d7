"""What every attack is, and what it is given to work with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from memaudit.attacks.copies import Copies
from memaudit.attacks.rivals import PixelSample
from memaudit.corruption.hiding import Frame
from memaudit.models.denoiser import Denoiser
from memaudit.records import CLEAN, COPY, Claim, Column, Example, Images, Input, Phase, Vectors
from memaudit.similarity.embed import Embedder
from memaudit.similarity.search import Index

# Noise that hides an image from sight, or so little that a network's error shows what it knows.
# Or none that counts: a part of the image is hidden.
Noise = Literal["strong", "weak", "hidden"]


@dataclass(frozen=True)
class Grid:
    """The noise levels of clean images, and those at which noisy copies are corrupted too."""

    levels: tuple[float, ...]
    copies: tuple[float, ...] = ()

    def at(self, levels: tuple[float, ...]) -> Grid:
        """Some of the levels."""
        return Grid(levels, tuple(level for level in self.copies if level in levels))

    def of(self, what: Input) -> tuple[float, ...]:
        """The levels of an input."""
        return self.copies if what == COPY else self.levels


@dataclass(frozen=True)
class Grids:
    """The levels of attacks that work with strong noise, and of those that work with weak noise.

    `hidden`: of each attack that hides a part of the image, the shares that it hides.
    """

    strong: Grid
    weak: Grid
    hidden: dict[str, Grid] = field(default_factory=dict)

    def of(self, attack: Attack) -> Grid:
        """The levels of an attack."""
        if attack.noise == "hidden":
            return self.hidden[attack.name]
        return self.weak if attack.noise == "weak" else self.strong


@dataclass(frozen=True)
class Cost:
    """What an attack takes of one image: network evaluations, embeddings, rows of scores."""

    evaluations: int
    embeddings: int
    rows: int


@dataclass(frozen=True)
class Query:
    """One corrupted image: the k-th example of its shard, or its noisy copy, at a level and draw.

    The level of noise is its sigma, that of what hides a part of the image the share hidden.

    The noise of a copy counts: `level` is what it and the noise added to it make together.
    """

    example: int
    level: float
    draw: int
    input: Input = CLEAN


@dataclass(frozen=True)
class Pass:
    """One attack at some levels and draws. `paired`: a reference model is attacked as well."""

    attack: Attack
    phase: Phase
    grid: Grid
    draws: int
    paired: bool = False

    @property
    def queries_each(self) -> int:
        """Corrupted images that are made of an image."""
        return (len(self.grid.levels) + len(self.grid.copies)) * self.draws

    @property
    def pairs_each(self) -> int:
        """Corrupted images of an image that a reference model is asked for."""
        return len(self.grid.levels) * self.draws if self.paired else 0

    @property
    def cost(self) -> Cost:
        """What the attack takes of one image."""
        return self.attack.cost(self)

    def queries(self, examples: int) -> list[Query]:
        """All queries of so many examples, clean images first."""
        return [
            Query(k, level, draw, what)
            for what in (CLEAN, COPY)
            for k in range(examples)
            for level in self.grid.of(what)
            for draw in range(self.draws)
        ]


@dataclass(frozen=True, eq=False)
class Bench:
    """All that an attack works with; a worker opens one from what a run directory says.

    `captions` are what the model is told, by id. `copies` are noisy copies that are asked for
    beside the images, `reference` a second model that is given the same corrupted images; None
    without them. `frames` are the rectangles around the objects in an image, by its id. Nothing
    here tells who is a member, but for the copies: only members have files of theirs, and
    `Copies.of` gives copies of all images alike.
    """

    denoiser: Denoiser
    embedder: Embedder
    index: Index
    pixels: PixelSample
    seed: int
    batch_size: int
    captions: dict[str, str] = field(default_factory=dict)
    copies: Copies | None = None
    reference: Denoiser | None = None
    frames: dict[str, tuple[Frame, ...]] = field(default_factory=dict)

    def encode(self, pixels: Images) -> Tensor:
        """[N, H, W, 3] uint8 -> [N, *shape] in the model's space."""
        return encode(self.denoiser, pixels)

    def embed(self, x: Tensor) -> Vectors:
        """Embed images in the model's space, [N, *shape] -> [N, D]."""
        return self.embedder.embed(to_images(self.denoiser, x))

    def batches(self, queries: list[Query]) -> Iterator[list[Query]]:
        """Cut queries into what the network sees at a time."""
        for start in range(0, len(queries), self.batch_size):
            yield queries[start : start + self.batch_size]


@dataclass(frozen=True, eq=False)
class Shard:
    """Some examples, decoded, encoded and found in the index once for all attacks.

    `copies`, `fresh` [N, *shape] and `copy_vectors` [N, D] are their noisy copies, fresh noise of
    the same law and the embedded copies, where noisy copies are asked for.
    """

    ids: list[str]
    pixels: Images  # [N, H, W, 3]
    x0: Tensor  # [N, *shape]
    positions: NDArray[np.int64]  # [N] in the index
    copies: Tensor | None = None
    fresh: Tensor | None = None
    copy_vectors: Vectors | None = None

    @classmethod
    def of(cls, bench: Bench, examples: Sequence[Example]) -> Shard:
        """Prepare examples of one size for the attacks."""
        ids = [example.id for example in examples]
        pixels = np.stack([example.image for example in examples])
        positions = np.array([bench.index.positions[name] for name in ids], np.int64)
        x0 = bench.encode(pixels)
        if bench.copies is None:
            return cls(ids, pixels, x0, positions)
        copies = bench.copies.of(ids, x0)
        fresh = bench.copies.fresh(ids, x0)
        return cls(ids, pixels, x0, positions, copies, fresh, bench.embed(copies))


class Attack(Protocol):
    """One way to ask a model for what it memorized.

    `columns` are those that its rows have beside the keys; `primary` names those that are pooled
    into its score. A row is keyed by what was asked, never by who is a member: an attack is given
    images and is not told a side.
    """

    @property
    def name(self) -> str:
        """What its rows say under `attack`."""

    @property
    def claim(self) -> Claim:
        """What its evidence is evidence of."""

    @property
    def noise(self) -> Noise:
        """How strong the noise is that it works with."""

    @property
    def needs_captions(self) -> bool:
        """Whether it can ask text-to-image models only."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of its rows."""

    @property
    def primary(self) -> tuple[str, ...]:
        """The columns that are pooled of clean images."""

    def cost(self, how: Pass) -> Cost:
        """What it takes of one image; as many network evaluations as `run` makes."""

    def run(self, bench: Bench, shard: Shard, how: Pass) -> pd.DataFrame:
        """One row a query of `how`, with KEYS (but for attack and phase), snr_db and `columns`.

        Raises ModelError where the model's answers are not finite.
        """


def encode(denoiser: Denoiser, pixels: Images) -> Tensor:
    """[N, H, W, 3] uint8 -> [N, *shape] in the model's space."""
    return denoiser.encode(torch.from_numpy(pixels).permute(0, 3, 1, 2))


def to_images(denoiser: Denoiser, x: Tensor) -> Images:
    """[B, *shape] in the model's space -> [B, H, W, 3] uint8."""
    images: Images
    images = denoiser.decode(x).permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return images

"""One shard of a scan: corrupt, reconstruct, embed, search, score."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from memaudit.attacks.copies import NoisyCopies, copy_scores
from memaudit.attacks.reconstruct import reconstruct
from memaudit.attacks.scores import (
    Reference,
    paired_scores,
    pixel_scores,
    relative_scores,
    similarity_scores,
)
from memaudit.audit.captions import Captions
from memaudit.audit.copies import Copies
from memaudit.audit.passes import Grid, Pass
from memaudit.audit.pool import Pool, read_examples, stack
from memaudit.config import ScanConfig
from memaudit.corruption.noise import corrupt, generator, per_row, snr_db, standard_normal
from memaudit.errors import ModelError
from memaudit.models.denoiser import Denoiser
from memaudit.records import Example, Image, Images, Vectors
from memaudit.similarity.embed import Embedder
from memaudit.similarity.search import match
from memaudit.similarity.search.index import cosine
from memaudit.statistics.correlation import ABOVE

NEIGHBOURS = 2  # the nearest other, and the next for the ratio of distances


@dataclass(frozen=True, eq=False)
class Stages:
    """What every shard of a scan shares.

    `copies` are the noisy copies that are queried beside the images, and `twin` is the reference
    model that reconstructs the same corrupted images; None without them. `captions` are those that
    the model is told.
    """

    config: ScanConfig
    denoiser: Denoiser
    embedder: Embedder
    pool: Pool
    sigmas: tuple[float, ...]
    reference: Reference
    copies: Copies | None = None
    twin: Denoiser | None = None
    captions: Captions = field(default_factory=dict)

    @property
    def grid(self) -> Grid:
        """The levels, and those at which noisy copies are queried: above the noise they hold."""
        if self.copies is None:
            return Grid(self.sigmas)
        lowest = ABOVE * self.copies.training.sigma_n
        return Grid(self.sigmas, tuple(sigma for sigma in self.sigmas if sigma > lowest))


@dataclass(frozen=True)
class Query:
    """One corrupted image: the k-th example of its shard, or its noisy copy, at a level and draw.

    The noise of a copy counts: `sigma` is what it and the noise added to it make together.
    """

    example: int
    sigma: float
    draw: int
    noisy: bool = False


def run_shard(
    stages: Stages, rows: pd.DataFrame, passes: tuple[Pass, ...]
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Score rows of the pool: one row an example, pass, level and draw.

    Also returns, for the ids that could not be read again, why.
    """
    examples, failed = read_examples(stages.pool, rows)
    if not examples:
        return pd.DataFrame(), failed
    shard = _Shard.read(stages, examples)
    tables = [
        shard.score(how, batch)
        for how in passes
        for batch in _batches(_queries(how, len(examples)), stages.config.batch_size)
    ]
    return pd.concat(tables, ignore_index=True), failed


@dataclass(frozen=True, eq=False)
class _Shard:
    stages: Stages
    examples: list[Example]
    pixels: Images  # [N, H, W, 3]
    x0: Tensor  # [N, *shape]
    positions: NDArray[np.int64]  # [N] in the index
    flipped: Vectors  # [N, D]
    copies: NoisyCopies | None

    @classmethod
    def read(cls, stages: Stages, examples: list[Example]) -> _Shard:
        pixels = stack(examples)
        positions = [stages.pool.index.positions[example.id] for example in examples]
        x0 = encode(stages.denoiser, pixels)
        return cls(
            stages,
            examples,
            pixels,
            x0,
            np.array(positions, np.int64),
            stages.pool.embedded.flipped(positions),
            _copies(stages, [example.id for example in examples], x0),
        )

    def score(self, how: Pass, batch: list[Query]) -> pd.DataFrame:
        which = [query.example for query in batch]
        x0 = self.reconstruct(how, batch)[1]
        images = to_images(self.stages.denoiser, x0)
        vectors = self.stages.embedder.embed(images)
        index = self.stages.pool.index
        matches = match(index, vectors, self.positions[which], self.flipped[which], NEIGHBOURS)
        keys = pd.DataFrame(
            {
                "example_id": [self.examples[k].id for k in which],
                "reconstruction": [how.names[query.noisy] for query in batch],
                "sigma": [query.sigma for query in batch],
                "snr_db": [snr_db(query.sigma) for query in batch],
                "draw": [query.draw for query in batch],
            }
        )
        pixels = pixel_scores(self.pixels[which], images)
        groups = index.groups[self.positions[which]]
        l2 = pixels["l2"].to_numpy(dtype=np.float64)
        relative = relative_scores(l2, images, self.stages.reference, groups)
        tables = [keys, similarity_scores(matches), pixels, relative]
        if self.copies is not None:
            tables.append(copy_scores(x0, vectors, self.copies, which))
        if self.stages.twin is not None:
            tables.append(self._pair(self.stages.twin, how, batch, matches.own))
        return pd.concat(tables, axis=1)

    def _pair(
        self, twin: Denoiser, how: Pass, batch: list[Query], own: NDArray[np.float32]
    ) -> pd.DataFrame:
        """The reference's similarities beside the model's; noisy copies have none."""
        rows = [row for row, query in enumerate(batch) if not query.noisy]
        similarities = np.full(len(batch), np.nan)
        if rows:
            clean = [batch[row] for row in rows]
            images = to_images(twin, self.reconstruct(how, clean, twin)[1])
            positions = self.positions[[query.example for query in clean]]
            sources = self.stages.pool.index.vectors[positions]
            similarities[rows] = cosine(self.stages.embedder.embed(images), sources)
        return paired_scores(own, similarities)

    def reconstruct(
        self, how: Pass, batch: list[Query], twin: Denoiser | None = None
    ) -> tuple[Tensor, Tensor]:
        """-> the corrupted images and their reconstructions, [B, *shape] in model space.

        By the model, or by a reference, which is given the same corrupted images.
        """
        config, denoiser = self.stages.config, twin or self.stages.denoiser
        ids = [self.examples[query.example].id for query in batch]
        generators = [
            generator(config.seed, name, query.sigma, query.draw)
            for name, query in zip(ids, batch, strict=True)
        ]
        sigma = torch.tensor([query.sigma for query in batch], device=denoiser.device)
        noise = standard_normal(generators, denoiser.shape).to(denoiser.device)
        x = corrupt(*self._sources(batch, sigma), noise)
        told = [self.stages.captions.get(name, "") for name in ids]
        attack = (how.mode, config.sampler, how.steps)
        x0 = reconstruct(denoiser, x, sigma, generators, attack, told)
        who = "reference" if twin else "model"
        refuse_infinite(x0, sigma, f"reconstruction {how.name}", who)
        return x, x0

    def _sources(self, batch: list[Query], sigma: Tensor) -> tuple[Tensor, Tensor]:
        """What is corrupted, [B, *shape], and the noise that is added to it, [B]."""
        which = [query.example for query in batch]
        if self.copies is None:
            return self.x0[which], sigma
        noisy = torch.tensor([query.noisy for query in batch], device=sigma.device)
        held = noisy * self.copies.sigma_n
        sources = torch.where(per_row(noisy, self.x0), self.copies.copies[which], self.x0[which])
        return sources, torch.where(noisy, (sigma**2 - held**2).sqrt(), sigma)


def _copies(stages: Stages, ids: list[str], x0: Tensor) -> NoisyCopies | None:
    if stages.copies is None:
        return None
    copies = stages.copies.of(ids, x0)
    vectors = stages.embedder.embed(to_images(stages.denoiser, copies))
    fresh = stages.copies.fresh(ids, x0)
    return NoisyCopies(x0, copies, fresh, vectors, stages.copies.training.sigma_n)


def redraw(stages: Stages, example: Example, how: Pass, sigma: float) -> tuple[Image, Image]:
    """Make draw 0 of an example again: corrupted and reconstructed image, [H, W, 3] each."""
    shard = _Shard.read(stages, [example])
    x, x0 = shard.reconstruct(how, [Query(0, sigma, 0)])
    return to_images(stages.denoiser, x)[0], to_images(stages.denoiser, x0)[0]


def encode(denoiser: Denoiser, pixels: Images) -> Tensor:
    """[N, H, W, 3] uint8 -> [N, *shape] in the model's space."""
    return denoiser.encode(torch.from_numpy(pixels).permute(0, 3, 1, 2))


def refuse_infinite(x0: Tensor, sigma: Tensor, what: str, who: str = "model") -> None:
    """Raise ModelError if any value is not finite."""
    if not bool(x0.isfinite().all()):
        raise ModelError(
            f"the {who} returns values that are not finite at sigma {min(sigma.tolist()):.4g} .. "
            f"{max(sigma.tolist()):.4g}, {what}; check its weights, or scan with --dtype float32"
        )


def to_images(denoiser: Denoiser, x: Tensor) -> Images:
    """[B, *shape] in the model's space -> [B, H, W, 3] uint8."""
    images: Images
    images = denoiser.decode(x).permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return images


def _queries(how: Pass, examples: int) -> list[Query]:
    return [
        Query(k, sigma, draw, noisy)
        for noisy, sigmas in ((False, how.sigmas), (True, how.noisy))
        for k in range(examples)
        for sigma in sigmas
        for draw in range(how.draws)
    ]


def _batches(queries: list[Query], size: int) -> Iterator[list[Query]]:
    for start in range(0, len(queries), size):
        yield queries[start : start + size]

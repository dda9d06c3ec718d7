"""One shard of a scan: corrupt, reconstruct, embed, search, score."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from memaudit.config import ScanConfig
from memaudit.errors import ModelError
from memaudit.models.denoiser import Denoiser
from memaudit.records import Example, Image, Images, Vectors
from memaudit.scanning.passes import Pass
from memaudit.scanning.pool import Pool, read_examples, stack
from memaudit.stages.corrupt import corrupt, generator, snr_db, standard_normal
from memaudit.stages.embed import Embedder
from memaudit.stages.reconstruct import reconstruct
from memaudit.stages.score import Reference, pixel_scores, relative_scores, similarity_scores
from memaudit.stages.search import match

NEIGHBOURS = 2  # the nearest other, and the next for the ratio of distances


@dataclass(frozen=True, eq=False)
class Stages:
    """What every shard of a scan shares."""

    config: ScanConfig
    denoiser: Denoiser
    embedder: Embedder
    pool: Pool
    sigmas: tuple[float, ...]
    reference: Reference


@dataclass(frozen=True)
class Query:
    """One corrupted image: the k-th example of its shard, at a level and a draw."""

    example: int
    sigma: float
    draw: int


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

    @classmethod
    def read(cls, stages: Stages, examples: list[Example]) -> _Shard:
        pixels = stack(examples)
        positions = [stages.pool.index.positions[example.id] for example in examples]
        return cls(
            stages,
            examples,
            pixels,
            encode(stages.denoiser, pixels),
            np.array(positions, np.int64),
            stages.pool.embedded.flipped(positions),
        )

    def score(self, how: Pass, batch: list[Query]) -> pd.DataFrame:
        which = [query.example for query in batch]
        images = to_images(self.stages.denoiser, self.reconstruct(how, batch)[1])
        vectors = self.stages.embedder.embed(images)
        index = self.stages.pool.index
        matches = match(index, vectors, self.positions[which], self.flipped[which], NEIGHBOURS)
        keys = pd.DataFrame(
            {
                "example_id": [self.examples[k].id for k in which],
                "reconstruction": how.name,
                "sigma": [query.sigma for query in batch],
                "snr_db": [snr_db(query.sigma) for query in batch],
                "draw": [query.draw for query in batch],
            }
        )
        pixels = pixel_scores(self.pixels[which], images)
        groups = index.groups[self.positions[which]]
        l2 = pixels["l2"].to_numpy(dtype=np.float64)
        relative = relative_scores(l2, images, self.stages.reference, groups)
        return pd.concat([keys, similarity_scores(matches), pixels, relative], axis=1)

    def reconstruct(self, how: Pass, batch: list[Query]) -> tuple[Tensor, Tensor]:
        """-> the corrupted images and their reconstructions, [B, *shape] in model space."""
        config, denoiser = self.stages.config, self.stages.denoiser
        which = [query.example for query in batch]
        generators = [
            generator(config.seed, self.examples[query.example].id, query.sigma, query.draw)
            for query in batch
        ]
        sigma = torch.tensor([query.sigma for query in batch], device=denoiser.device)
        noise = standard_normal(generators, denoiser.shape).to(denoiser.device)
        x = corrupt(self.x0[which], sigma, noise)
        x0 = reconstruct(denoiser, x, sigma, generators, (how.mode, config.sampler, how.steps))
        refuse_infinite(x0, sigma, f"reconstruction {how.name}")
        return x, x0


def redraw(stages: Stages, example: Example, how: Pass, sigma: float) -> tuple[Image, Image]:
    """Make draw 0 of an example again: corrupted and reconstructed image, [H, W, 3] each."""
    shard = _Shard.read(stages, [example])
    x, x0 = shard.reconstruct(how, [Query(0, sigma, 0)])
    return to_images(stages.denoiser, x)[0], to_images(stages.denoiser, x0)[0]


def encode(denoiser: Denoiser, pixels: Images) -> Tensor:
    """[N, H, W, 3] uint8 -> [N, *shape] in the model's space."""
    return denoiser.encode(torch.from_numpy(pixels).permute(0, 3, 1, 2))


def refuse_infinite(x0: Tensor, sigma: Tensor, what: str) -> None:
    """Raise ModelError if any value is not finite."""
    if not bool(x0.isfinite().all()):
        raise ModelError(
            f"the model returns values that are not finite at sigma {min(sigma.tolist()):.4g} "
            f".. {max(sigma.tolist()):.4g}, {what}; check its weights, or scan with --dtype float32"
        )


def to_images(denoiser: Denoiser, x: Tensor) -> Images:
    """[B, *shape] in the model's space -> [B, H, W, 3] uint8."""
    images: Images
    images = denoiser.decode(x).permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return images


def _queries(how: Pass, examples: int) -> list[Query]:
    return [
        Query(k, sigma, draw)
        for k in range(examples)
        for sigma in how.sigmas
        for draw in range(how.draws)
    ]


def _batches(queries: list[Query], size: int) -> Iterator[list[Query]]:
    for start in range(0, len(queries), size):
        yield queries[start : start + size]

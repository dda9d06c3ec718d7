"""Reconstruction: a corrupted image is brought back, and compared with its source.

Daras, Dimakis and Daskalakis 2024 (arXiv 2404.10177).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from memaudit.attacks import samplers
from memaudit.attacks.base import Bench, Cost, Noise, Pass, Query, Shard, to_images
from memaudit.attacks.corrupted import Corrupted, keys, refuse_infinite
from memaudit.attacks.scores import (
    COLUMNS,
    copy_scores,
    paired_scores,
    pixel_scores,
    relative_scores,
    similarity_scores,
)
from memaudit.config import (
    RECONSTRUCTIONS,
    RESTORATIONS,
    SCORE,
    AttackConfig,
    Reconstruction,
    Sampler,
)
from memaudit.corruption.noise import standard_normal
from memaudit.errors import InputError
from memaudit.models.denoiser import Denoiser
from memaudit.records import CLEAN, Claim, Column, Example, Image
from memaudit.similarity.search import match
from memaudit.similarity.search.index import cosine

SOLVERS: dict[Sampler, Callable[[samplers.Denoise, Tensor, Tensor], Tensor]] = {
    "euler": samplers.euler,
    "heun": samplers.heun,
    "dpmpp-2m": samplers.dpmpp_2m,
}
NEIGHBOURS = 2  # the nearest other, and the next for the ratio of distances
ODE, SAMPLE, ONE_STEP = (RECONSTRUCTIONS[mode] for mode in ("ode", "sample", "one-step"))
# Full sampling detects what one step misses, and a sampled draw is closer to it than a mean. What
# restores hidden parts comes after them, where there is any.
PREFERRED = (ODE, SAMPLE, ONE_STEP, *RESTORATIONS.values())


def preferred(run: Collection[str]) -> str:
    """Choose the attack that tells most of what comes back, by the order of PREFERRED.

    Raises InputError without any.
    """
    for name in PREFERRED:
        if name in run:
            return name
    raise InputError(
        f"found the attacks {sorted(run)}, expected one of {', '.join(PREFERRED)}; scan with "
        "--reconstruct"
    )


@dataclass(frozen=True)
class Solve:
    """How a clean image is found.

    "ode": deterministic sampling of the probability-flow ODE from the corrupted image; "one-step":
    the posterior mean; "sample": a stochastic posterior sample, whose noise continues each row's
    own generator.
    """

    mode: Reconstruction
    sampler: Sampler = "euler"
    steps: int = 1

    @property
    def evaluations(self) -> int:
        """Network evaluations that one reconstruction takes."""
        if self.mode == "one-step":
            return 1
        return 2 * self.steps - 1 if (self.mode, self.sampler) == ("ode", "heun") else self.steps

    @torch.inference_mode()
    def __call__(self, denoiser: Denoiser, corrupted: Corrupted) -> Tensor:
        """Clean images [B, *shape] from x = x0 + sigma n, in model space."""
        x, sigma = corrupted.x, corrupted.sigma
        denoise = partial(denoiser.denoise, prompts=corrupted.captions)
        if self.mode == "one-step":
            return denoise(x, sigma)
        sigmas = samplers.sampling_sigmas(sigma, denoiser.sigma_min, self.steps)
        if self.mode == "ode":
            return SOLVERS[self.sampler](denoise, x, sigmas)
        shape = tuple(x.shape[1:])
        return samplers.ancestral(
            denoise,
            x,
            sigmas,
            lambda: standard_normal(corrupted.generators, shape).to(x.device),
        )


@dataclass(frozen=True)
class ReconstructionAttack:
    """Corrupt, bring back, embed, search, score."""

    name: str
    solve: Solve
    primary: tuple[str, ...] = SCORE
    claim: Claim = "reproduction"
    noise: Noise = "strong"
    needs_captions: bool = False

    @property
    def columns(self) -> tuple[Column, ...]:
        """Similarity, pixels, noisy copies and the reference model."""
        return COLUMNS

    def cost(self, how: Pass) -> Cost:
        """One embedding a reconstruction, by the model and by its reference."""
        made = how.queries_each + how.pairs_each
        return Cost(made * self.solve.evaluations, made, how.queries_each)

    def run(self, bench: Bench, shard: Shard, how: Pass) -> pd.DataFrame:
        """Score all queries of a shard."""
        batches = bench.batches(how.queries(len(shard.ids)))
        tables = [self._score(bench, shard, batch) for batch in batches]
        return pd.concat(tables, ignore_index=True)

    def show(self, bench: Bench, example: Example, sigma: float) -> tuple[Image, Image]:
        """Make draw 0 of an example again: corrupted and reconstructed image, [H, W, 3] each."""
        shard = Shard.of(bench, [example])
        corrupted = Corrupted.of(bench, shard, [Query(0, sigma, 0)], bench.denoiser)
        x0 = self._solve(bench.denoiser, corrupted)
        return to_images(bench.denoiser, corrupted.x)[0], to_images(bench.denoiser, x0)[0]

    def _solve(self, model: Denoiser, corrupted: Corrupted, who: str = "model") -> Tensor:
        x0 = self.solve(model, corrupted)
        refuse_infinite(x0, corrupted.sigma, f"attack {self.name}", who)
        return x0

    def _score(self, bench: Bench, shard: Shard, batch: list[Query]) -> pd.DataFrame:
        which = [query.example for query in batch]
        model = bench.denoiser
        x0 = self._solve(model, Corrupted.of(bench, shard, batch, model))
        images = to_images(model, x0)
        vectors = bench.embedder.embed(images)
        matches = match(bench.index, vectors, shard.positions[which], NEIGHBOURS)
        pixels = pixel_scores(shard.pixels[which], images)
        groups = bench.index.groups[shard.positions[which]]
        l2 = pixels["l2"].to_numpy(dtype=np.float64)
        relative = relative_scores(l2, images, bench.pixels, groups)
        tables = [keys(shard, batch), similarity_scores(matches), pixels, relative]
        if shard.copies is not None:
            tables.append(copy_scores(x0, vectors, shard, which))
        if bench.reference is not None:
            tables.append(self._pair(bench, shard, batch, matches.own))
        return pd.concat(tables, axis=1)

    def _pair(
        self, bench: Bench, shard: Shard, batch: list[Query], own: NDArray[np.float32]
    ) -> pd.DataFrame:
        """The reference's similarities beside the model's; noisy copies have none."""
        rows = [row for row, query in enumerate(batch) if query.input == CLEAN]
        similarities = np.full(len(batch), np.nan)
        if rows and bench.reference is not None:
            clean, model = [batch[row] for row in rows], bench.reference
            x0 = self._solve(model, Corrupted.of(bench, shard, clean, model), "reference")
            sources = bench.index.vectors[shard.positions[[query.example for query in clean]]]
            similarities[rows] = cosine(bench.embedder.embed(to_images(model, x0)), sources)
        return paired_scores(own, similarities)


def ode(config: AttackConfig) -> ReconstructionAttack:
    """Full deterministic sampling from the corrupted image."""
    return _attack(ODE, "ode", config)


def one_step(config: AttackConfig) -> ReconstructionAttack:
    """The posterior mean."""
    return _attack(ONE_STEP, "one-step", config)


def sample(config: AttackConfig) -> ReconstructionAttack:
    """Stochastic sampling from the corrupted image."""
    return _attack(SAMPLE, "sample", config)


def _attack(name: str, mode: Reconstruction, config: AttackConfig) -> ReconstructionAttack:
    solve = Solve(mode, config.sampler, config.steps)
    return ReconstructionAttack(name, solve, config.columns)

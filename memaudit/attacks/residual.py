"""What is left of an image's error under noise, drawn several times: the same each time, or chance.

With residuals r_k = h(x0 + sigma n_k, sigma) - x0 of K draws, L = mean_k |r_k|^2 is the denoising
loss (Carlini et al. 2023, arXiv 2301.13188) and M = |mean_k r_k|^2 the mean residual (Li et al.
2024, arXiv 2405.20771: draws are averaged before they are squared). Of an image that the model
kept, what is left is chance, and the mean of the draws goes to 0. Of one that it never saw, the
same thing is missing every time. The residual correlation C = (K M / L - 1) / (K - 1) is the share
of the error that is the same in every draw, an intraclass correlation: what makes an image hard for
any model is in M and in L, and cancels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from memaudit.attacks.base import Bench, Cost, Noise, Pass, Query, Shard
from memaudit.attacks.corrupted import keys, refuse_infinite
from memaudit.attacks.sources import FLOOR, Sources, decibels, energy, generators
from memaudit.config import AttackConfig
from memaudit.corruption.noise import corrupt, standard_normal
from memaudit.records import Claim, Column

COLUMNS = (
    Column(
        "residual_correlation",
        "mean correlation of the errors of two draws, -1 to 1: the share of the error that is the "
        "same in every draw",
        higher=False,
    ),
    Column(
        "mean_residual",
        "energy of the error averaged over draws, dB of an image of unit power",
        higher=False,
    ),
    Column(
        "denoising_loss",
        "energy of the error of a draw, averaged over draws, dB of an image of unit power",
        higher=False,
    ),
)


@dataclass(frozen=True)
class Residual:
    """One row an image and level, of all draws together, each image with noise of its own."""

    name: str
    primary: tuple[str, ...]
    claim: Claim = "membership"
    noise: Noise = "weak"
    needs_captions: bool = False
    columns: tuple[Column, ...] = COLUMNS

    def cost(self, how: Pass) -> Cost:
        """One network evaluation a draw; nothing is embedded."""
        return Cost(how.queries_each, 0, how.queries_each // how.draws)

    @torch.inference_mode()
    def run(self, bench: Bench, shard: Shard, how: Pass) -> pd.DataFrame:
        """Score all queries of a shard."""
        queries, at_once = how.queries(len(shard.ids)), max(1, bench.batch_size // how.draws)
        size = at_once * how.draws
        tables = [
            self._score(bench, shard, queries[start : start + size], how.draws)
            for start in range(0, len(queries), size)
        ]
        return pd.concat(tables, ignore_index=True)

    def _score(self, bench: Bench, shard: Shard, queries: list[Query], draws: int) -> pd.DataFrame:
        residuals = torch.cat([*self._residuals(bench, shard, queries)])
        table = measured(residuals.view(-1, draws, residuals.shape[1]))
        return pd.concat([keys(shard, queries[::draws]), table], axis=1)

    def _residuals(self, bench: Bench, shard: Shard, queries: list[Query]) -> Iterator[Tensor]:
        for batch in bench.batches(queries):
            sources = Sources.of(bench, shard, batch)
            noise = standard_normal(generators(bench, shard, batch), bench.denoiser.shape)
            noisy = corrupt(sources.x, sources.added, noise.to(sources.x))
            mean = sources.mean(noisy, sources.added)
            sigma = torch.tensor([query.level for query in batch])
            refuse_infinite(mean, sigma, f"attack {self.name}")
            yield (mean - sources.x).flatten(1)


def measured(residuals: Tensor) -> pd.DataFrame:
    """The three scores of residuals [B, K, D] of K draws; a row each.

    Where the error is below half a grey level it counts as none: the correlation of nothing is 0,
    as of an image that is kept, however reproducible a bias of that size is. With one draw the
    correlation is 0.
    """
    residuals = residuals.double()
    draws = residuals.shape[1]
    loss, mean = residuals.square().mean((1, 2)), energy(residuals.mean(1))
    both = (draws * mean - loss) / ((draws - 1) * (loss + FLOOR**2)) if draws > 1 else 0 * loss
    return pd.DataFrame(
        {
            "residual_correlation": both.tolist(),
            "mean_residual": decibels(mean),
            "denoising_loss": decibels(loss),
        }
    )


def residual_correlation(config: AttackConfig) -> Residual:  # noqa: ARG001
    """Score by the share of the error that is the same in every draw."""
    return Residual("residual-correlation", ("residual_correlation",))


def mean_residual(config: AttackConfig) -> Residual:  # noqa: ARG001
    """Score by the error averaged over draws (Li et al. 2024, arXiv 2405.20771)."""
    return Residual("mean-residual", ("mean_residual",))


def denoising_loss(config: AttackConfig) -> Residual:  # noqa: ARG001
    """Score by the error of a draw (Carlini et al. 2023, arXiv 2301.13188)."""
    return Residual("denoising-loss", ("denoising_loss",))

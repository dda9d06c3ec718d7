"""The corrupted images that attacks ask a model for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from memaudit.attacks.base import Bench, Query, Shard
from memaudit.attacks.sources import Sources, generators
from memaudit.corruption.noise import corrupt, snr_db, standard_normal
from memaudit.errors import ModelError
from memaudit.models.denoiser import Denoiser


@dataclass(frozen=True, eq=False)
class Corrupted:
    """A batch of corrupted images x [B, *shape] with their noise `sigma` [B].

    Each row has a generator of its own, from which a stochastic sampler draws on, and a caption.
    """

    x: Tensor
    sigma: Tensor
    generators: list[np.random.Generator]
    captions: list[str]

    @classmethod
    def of(cls, bench: Bench, shard: Shard, batch: list[Query], model: Denoiser) -> Corrupted:
        """Corrupt a batch; a reference model is given the same images as the model under audit."""
        drawn = generators(bench, shard, batch)
        sigma = torch.tensor([query.level for query in batch], device=model.device)
        noise = standard_normal(drawn, model.shape).to(model.device)
        sources = Sources.of(bench, shard, batch, model)
        x = corrupt(sources.x, sources.added, noise)
        return cls(x, sigma, drawn, sources.captions)


def keys(shard: Shard, batch: list[Query], left: Callable[[float], float] = snr_db) -> pd.DataFrame:
    """The keys of a batch's rows, but for attack and phase, and what a level leaves in dB."""
    return pd.DataFrame(
        {
            "example_id": [shard.ids[query.example] for query in batch],
            "input": [query.input for query in batch],
            "level": [query.level for query in batch],
            "draw": [query.draw for query in batch],
            "snr_db": [left(query.level) for query in batch],
        }
    )


def refuse_infinite(x0: Tensor, sigma: Tensor, what: str, who: str = "model") -> None:
    """Raise ModelError if any value is not finite."""
    low, high = min(sigma.tolist()), max(sigma.tolist())
    expect_finite(x0, f"at sigma {low:.4g} .. {high:.4g}, {what}", who)


def expect_finite(x0: Tensor, where: str, who: str = "model") -> None:
    """Raise ModelError if any value is not finite."""
    if not bool(x0.isfinite().all()):
        raise ModelError(
            f"the {who} returns values that are not finite {where}; check its weights, or scan "
            "with --dtype float32"
        )

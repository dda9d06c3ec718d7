"""The corrupted images that attacks ask a model for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from memaudit.attacks.base import Bench, Query, Shard
from memaudit.corruption.noise import corrupt, generator, per_row, snr_db, standard_normal
from memaudit.errors import ModelError
from memaudit.models.denoiser import Denoiser
from memaudit.records import COPY


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
        ids = [shard.ids[query.example] for query in batch]
        generators = [
            generator(bench.seed, name, query.sigma, query.draw)
            for name, query in zip(ids, batch, strict=True)
        ]
        sigma = torch.tensor([query.sigma for query in batch], device=model.device)
        noise = standard_normal(generators, model.shape).to(model.device)
        x = corrupt(*_sources(bench, shard, batch, sigma), noise)
        return cls(x, sigma, generators, [bench.captions.get(name, "") for name in ids])


def _sources(
    bench: Bench, shard: Shard, batch: list[Query], sigma: Tensor
) -> tuple[Tensor, Tensor]:
    """What is corrupted, [B, *shape], and the noise that is added to it, [B]."""
    which = [query.example for query in batch]
    if bench.copies is None or shard.copies is None:
        return shard.x0[which], sigma
    noisy = torch.tensor([query.input == COPY for query in batch], device=sigma.device)
    held = noisy * bench.copies.training.sigma_n
    sources = torch.where(per_row(noisy, shard.x0), shard.copies[which], shard.x0[which])
    return sources, torch.where(noisy, (sigma**2 - held**2).sqrt(), sigma)


def keys(shard: Shard, batch: list[Query]) -> pd.DataFrame:
    """The keys of a batch's rows, but for attack and phase, and the noise in dB."""
    return pd.DataFrame(
        {
            "example_id": [shard.ids[query.example] for query in batch],
            "input": [query.input for query in batch],
            "sigma": [query.sigma for query in batch],
            "draw": [query.draw for query in batch],
            "snr_db": [snr_db(query.sigma) for query in batch],
        }
    )


def refuse_infinite(x0: Tensor, sigma: Tensor, what: str, who: str = "model") -> None:
    """Raise ModelError if any value is not finite."""
    if not bool(x0.isfinite().all()):
        raise ModelError(
            f"the {who} returns values that are not finite at sigma {min(sigma.tolist()):.4g} .. "
            f"{max(sigma.tolist()):.4g}, {what}; check its weights, or scan with --dtype float32"
        )

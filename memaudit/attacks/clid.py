"""CLiD: how much does an image's own caption help the network, against parts of it?

Zhai et al. 2024 (arXiv 2405.14800). A text-to-image model that was trained on an image with its
caption gains more from that caption than from its thirds or from none. The paper adds the loss with
the caption, each robustly scaled; pooling does that here, with equal weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import pandas as pd
import torch
from torch import Tensor

from memaudit.attacks.base import Bench, Cost, Noise, Pass, Query, Shard
from memaudit.attacks.corrupted import keys, refuse_infinite
from memaudit.attacks.sources import Sources, energy, generators
from memaudit.config import AttackConfig
from memaudit.corruption.noise import corrupt, standard_normal
from memaudit.records import Claim, Column

THIRDS = 3
PROMPTS = THIRDS + 2  # the caption, its thirds, and none

COLUMNS = (
    Column(
        "caption_loss",
        "energy of the error of the estimated noise under the image's own caption, in units of the "
        "noise's",
        higher=False,
    ),
    Column(
        "caption_gain",
        "by how much that energy is larger under thirds of the caption and none, mean, in units of "
        "the noise's",
    ),
)


@dataclass(frozen=True)
class Clid:
    """One row a query: the same noise under each prompt."""

    name: str = "clid"
    columns: tuple[Column, ...] = COLUMNS
    primary: tuple[str, ...] = ("caption_loss", "caption_gain")
    claim: Claim = "membership"
    noise: Noise = "weak"
    needs_captions: bool = True

    def cost(self, how: Pass) -> Cost:
        """One network evaluation a prompt."""
        return Cost(how.queries_each * PROMPTS, 0, how.queries_each)

    @torch.inference_mode()
    def run(self, bench: Bench, shard: Shard, how: Pass) -> pd.DataFrame:
        """Score all queries of a shard."""
        batches = bench.batches(how.queries(len(shard.ids)))
        return pd.concat([self._score(bench, shard, one) for one in batches], ignore_index=True)

    def _score(self, bench: Bench, shard: Shard, batch: list[Query]) -> pd.DataFrame:
        sources = Sources.of(bench, shard, batch)
        noise = standard_normal(generators(bench, shard, batch), bench.denoiser.shape)
        losses = torch.stack([*_losses(sources, noise.to(sources.x))])
        sigma = torch.tensor([query.level for query in batch])
        refuse_infinite(losses, sigma, f"attack {self.name}")
        gain = losses[1:].mean(0) - losses[0]
        return keys(shard, batch).assign(
            caption_loss=losses[0].tolist(), caption_gain=gain.tolist()
        )


def _losses(sources: Sources, noise: Tensor) -> Iterator[Tensor]:
    """The loss [B] under the caption, each of its thirds, and no caption."""
    noisy = corrupt(sources.x, sources.added, noise)
    prompts = [prompts_of(caption) for caption in sources.captions]
    for told in zip(*prompts, strict=True):
        under = replace(sources, captions=[*told])
        yield energy(under.noise(noisy, sources.added) - noise)


def prompts_of(caption: str) -> list[str]:
    """The caption, its thirds by characters, and the empty one."""
    cuts = [round(len(caption) * k / THIRDS) for k in range(THIRDS + 1)]
    thirds = [caption[low:high] for low, high in pairwise(cuts)]
    return [caption, *thirds, ""]


def clid(config: AttackConfig) -> Clid:  # noqa: ARG001
    """Score by the loss under the caption, and by what the caption takes off it."""
    return Clid()

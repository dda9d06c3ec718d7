"""Attacks that add no random noise: a number of each image and level, by a formula."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from memaudit.attacks.base import Bench, Cost, Noise, Pass, Query, Shard
from memaudit.attacks.corrupted import keys, refuse_infinite
from memaudit.attacks.sources import Sources, decibels
from memaudit.records import Claim, Column


@dataclass(frozen=True)
class Noiseless:
    """One row an image and level. `energy` measures B sources in `calls` network evaluations each.

    It returns [B]; the less, the more suspicious. `in_noise`: it is an energy of estimated noise,
    where an error of the image counts 1 / sigma times.
    """

    name: str
    column: Column
    calls: int
    energy: Callable[[Sources], Tensor]
    in_noise: bool = False
    claim: Claim = "membership"
    noise: Noise = "weak"
    needs_captions: bool = False

    @property
    def columns(self) -> tuple[Column, ...]:
        """The one."""
        return (self.column,)

    @property
    def primary(self) -> tuple[str, ...]:
        """It is pooled."""
        return (self.column.name,)

    def cost(self, how: Pass) -> Cost:
        """The same whatever the draws: there is nothing to draw."""
        queries = how.queries_each // how.draws
        return Cost(queries * self.calls, 0, queries)

    @torch.inference_mode()
    def run(self, bench: Bench, shard: Shard, how: Pass) -> pd.DataFrame:
        """Score all queries of a shard, of each level once."""
        queries = how.queries(len(shard.ids))[:: how.draws]
        tables = [self._score(bench, shard, batch) for batch in bench.batches(queries)]
        return pd.concat(tables, ignore_index=True)

    def _score(self, bench: Bench, shard: Shard, batch: list[Query]) -> pd.DataFrame:
        sources = Sources.of(bench, shard, batch)
        energies = self.energy(sources)
        sigma = torch.tensor([query.level for query in batch])
        refuse_infinite(energies, sigma, f"attack {self.name}")
        told = decibels(energies, sources.visible if self.in_noise else sources.floor)
        return keys(shard, batch).assign(**{self.column.name: told})

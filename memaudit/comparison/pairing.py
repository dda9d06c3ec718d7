"""Rows of scores that two runs share: same image, attack, input, noise level and draw."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memaudit.comparison.intervals import Clusters
from memaudit.records import CLEAN, COPY, Input, Primary
from memaudit.statistics.combine import closeness, combine, level_means
from memaudit.statistics.entities import Compared, Sides
from memaudit.statistics.probes import Probe

KEYS = ["example_id", "level", "draw"]  # of the rows of one probe
# How closely what was corrupted comes back; that of noisy copies is their frozen noise: embedded,
# copies look all alike.
SIMILARITY: dict[Input, str] = {CLEAN: "own_similarity", COPY: "copy_correlation"}


@dataclass(frozen=True, eq=False)
class Place:
    """One noise level, or all of them together (None)."""

    sigma: float | None
    snr_db: float | None

    @property
    def name(self) -> str:
        """As people read it."""
        return "all" if self.sigma is None else f"{self.sigma:.4g}"


@dataclass(frozen=True, eq=False)
class Paired:
    """Base and run, [2, images], at one place: own similarity and score, draws averaged.

    The images are the members, then the controls, of `sides`; each stands for one group of
    duplicates. Of noisy copies, own similarity is the correlation with their frozen noise; of an
    attack on membership it is the first column of its score.
    """

    place: Place
    own: NDArray[np.float64]
    score: NDArray[np.float64]
    sides: Sides

    @property
    def members(self) -> int:
        """How many of the images are members."""
        return len(self.sides.members)

    @property
    def clusters(self) -> Clusters:
        """Numbers of the clusters of members and of controls: what is resampled."""
        both = self.compared[0]
        return both.members.clusters, both.controls.clusters

    @cached_property
    def compared(self) -> list[Compared]:
        """The scores of base and of run, split by side."""
        ids = [*self.sides.members, *self.sides.controls]
        return [self.sides.compare(pd.Series(score, index=ids)) for score in self.score]


@dataclass(frozen=True, eq=False)
class Pairs:
    """All rows of one probe that base and run share; `primary` says what is pooled of them."""

    probe: Probe
    base: pd.DataFrame
    run: pd.DataFrame
    sides: Sides
    primary: Primary

    @property
    def draws(self) -> int:
        """Draws of each image at each level."""
        return int(self.base["draw"].nunique())

    def places(self) -> list[Paired]:
        """All levels together, then each, weakest noise first."""
        probe, columns = self.probe, self.primary.of(self.probe.input)
        own = [self._own(rows) for rows in self._both]
        near = [closeness(rows, columns, probe) for rows in self._both]
        pooled = [combine(rows, self.primary) for rows in self._both]
        means = [table.mean(axis=1) for table in own]
        snr = self.base.groupby("level")["snr_db"].first()
        return [
            self._paired(Place(None, None), means, pooled),
            *(
                self._paired(
                    Place(float(sigma), float(snr[sigma])),
                    [table[sigma] for table in own],
                    [table[sigma] for table in near],
                )
                for sigma in own[0].columns
            ),
        ]

    def _own(self, rows: pd.DataFrame) -> pd.DataFrame:
        """How closely what was corrupted comes back, or how well it is known: [example, sigma]."""
        probe = self.probe
        if self.primary.claim == "reproduction":
            return level_means(rows, SIMILARITY[probe.input], probe)
        column = self.primary.of(probe.input)[0]
        return level_means(rows, column.name, probe) * (1 if column.higher else -1)

    @property
    def _both(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        return self.base, self.run

    def _paired(
        self, place: Place, own: list[pd.Series[float]], score: list[pd.Series[float]]
    ) -> Paired:
        ids = [*self.sides.members, *self.sides.controls]
        values: list[NDArray[np.float64]] = [
            np.stack([one[ids].to_numpy(np.float64) for one in both]) for both in (own, score)
        ]
        return Paired(place, values[0], values[1], self.sides)


def pair(
    base: pd.DataFrame, run: pd.DataFrame, sides: Sides, probe: Probe, primary: Primary
) -> Pairs:
    """Keep the rows of a probe that both have, of images with every shared level and draw.

    Raises nothing; without a shared row the tables are empty.
    """
    chosen = [probe.rows(table) for table in (base, run)]
    shared = chosen[0][KEYS].merge(chosen[1][KEYS], on=KEYS)
    cells = len(shared[["level", "draw"]].drop_duplicates())
    count = shared.groupby("example_id")["draw"].transform("size")
    shared = shared[count == cells]
    rows = [table.merge(shared, on=KEYS).reset_index(drop=True) for table in chosen]
    kept = sides.among(pd.Index(shared["example_id"].unique()))
    return Pairs(probe, rows[0], rows[1], kept, primary)

"""The scores of one side, with what they are cut and resampled by."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from memaudit.statistics.conformal import rounded


@dataclass(frozen=True, eq=False)
class Sample:
    """Scores of one side, one a duplicate group, rounded to 1e-5.

    `ids` [n] name the images; `clusters` [n] number what was divided into members and controls,
    such as photographs or patients: images of one cluster are no independent evidence. Without
    clusters each image is its own.
    """

    values: NDArray[np.float64]
    ids: tuple[str, ...]
    clusters: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        values: ArrayLike,
        ids: Sequence[str] | None = None,
        clusters: Sequence[str] | None = None,
    ) -> Sample:
        """Take values in any order; NaN is an InputError. Ids are by default the positions.

        The clusters are told by name; an empty name is a cluster of its own.
        """
        scores = rounded(values)
        names = tuple(map(str, range(len(scores)))) if ids is None else tuple(ids)
        told = [""] * len(names) if clusters is None else clusters
        units = [f"cluster {c}" if c else n for c, n in zip(told, names, strict=True)]
        numbers = np.unique(np.asarray(units, dtype=str), return_inverse=True)[1]
        return cls(scores, names, numbers.astype(np.int64))

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def units(self) -> int:
        """How many clusters there are."""
        return int(self.clusters.max()) + 1 if len(self.clusters) else 0

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """What each image counts, [n]: the images of a cluster share its weight of 1."""
        weights: NDArray[np.float64] = 1 / np.bincount(self.clusters)[self.clusters]
        return weights

    def mean(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean of each cluster, [units], of values [n]."""
        means: NDArray[np.float64] = np.bincount(self.clusters, values * self.weights, self.units)
        return means

    def highest(self) -> NDArray[np.float64]:
        """Largest score of each cluster, [units]."""
        largest = np.full(self.units, -np.inf)
        np.maximum.at(largest, self.clusters, self.values)
        return largest

    def one_each(self) -> Sample:
        """One image of each cluster, that with the smallest id: ids are hashes, so it is random."""
        return self if self.units == len(self) else self.at(self.first_each)

    @cached_property
    def first_each(self) -> NDArray[np.int64]:
        """Positions of the images of `one_each`, ascending."""
        order = np.argsort(np.asarray(self.ids, dtype=str), kind="stable")
        chosen = order[np.unique(self.clusters[order], return_index=True)[1]]
        return np.sort(chosen)

    def at(self, chosen: NDArray[np.int64] | NDArray[np.bool_]) -> Sample:
        """The images at some positions."""
        ids = np.asarray(self.ids, dtype=str)[chosen]
        numbers = np.unique(self.clusters[chosen], return_inverse=True)[1]
        return Sample(self.values[chosen], tuple(ids.tolist()), numbers.astype(np.int64))

    def first_half(self, seed: int) -> NDArray[np.bool_]:
        """Which images are of the first half, [n].

        Clusters are put in the order of a hash of their smallest id and of the seed, and cut in the
        middle. No score is looked at: a cut by rank would take the same ranks of all data sets.
        """
        smallest: dict[int, str] = {}
        for name, unit in sorted(zip(self.ids, self.clusters.tolist(), strict=True)):
            smallest.setdefault(unit, name)
        order = sorted(smallest, key=lambda unit: _hash(smallest[unit], seed))
        first = np.zeros(self.units, dtype=np.bool_)
        first[order[: (self.units + 1) // 2]] = True
        half: NDArray[np.bool_] = first[self.clusters]
        return half


def _hash(name: str, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed} {name}".encode(), digest_size=8).digest()

"""How sure a paired difference is: bootstrap, exact intervals, sign flips.

All are over clusters: where none are told, each image is one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from memaudit.statistics.effects import clopper_pearson

CONFIDENCE = 0.975  # of each interval: two measures share the level .05
TIE = 1e-4  # machines and batch sizes move a number by no more
ENUMERATED = 13  # differences whose 2^n signs are all tried
LARGEST_FLIPPED = 20_000
BLOCK = 1 << 22  # signs drawn at a time

Statistic = Callable[[NDArray[np.float64], NDArray[np.float64]], list[float]]
Clusters = tuple[NDArray[np.int64], NDArray[np.int64]]  # numbers, of members and of controls


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval of CONFIDENCE."""

    estimate: float
    low: float
    high: float

    @property
    def sign(self) -> int:
        """-1 or 1 where the interval leaves 0 out, else 0."""
        return int(self.low > 0) - int(self.high < 0)

    def spanning(self, other: Interval) -> Interval:
        """The same estimate in the smallest interval that holds both."""
        return Interval(self.estimate, min(self.low, other.low), max(self.high, other.high))


def bootstrap(
    statistic: Statistic, clusters: Clusters, rounds: int = 2000, seed: int = 0
) -> list[Interval]:
    """Expanded percentile intervals over resampled members and controls (Hesterberg 2015).

    `statistic` takes how often each member and each control was drawn and gives some numbers; all
    that belongs to an image, draws, levels and both runs, moves with it, and images move with their
    cluster: `clusters` number those of the members and of the controls from 0. Of equal weights
    it gives the estimates.
    """
    rng = np.random.default_rng(seed)
    estimates = statistic(*(np.ones(len(side)) for side in clusters))
    values = np.array([statistic(*(_drawn(side, rng) for side in clusters)) for _ in range(rounds)])
    tail = _tail(min(_units(side) for side in clusters if len(side)))
    low, high = np.quantile(values, [tail, 1 - tail], axis=0)
    return [
        Interval(float(one), float(lo), float(hi))
        for one, lo, hi in zip(estimates, low, high, strict=True)
    ]


def cluster_sums(values: NDArray[np.float64], clusters: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sum of the values [n] in each cluster; where each image is one, the values themselves."""
    sums: NDArray[np.float64] = np.bincount(clusters, values, _units(clusters))
    return sums


def changed_interval(
    before: NDArray[np.bool_], after: NDArray[np.bool_], clusters: NDArray[np.int64]
) -> Interval:
    """Of the difference of two paired shares, by the clusters in which more gained or lost."""
    net = cluster_sums(after.astype(np.float64) - before, clusters)
    return discordant_interval(int((net > 0).sum()), int((net < 0).sum()), len(net))


def discordant_interval(gained: int, lost: int, n: int) -> Interval:
    """Of (gained - lost) / n, the difference of two paired shares, exact and conservative.

    Two intervals of Clopper and Pearson. It stays wide where a bootstrap of few images, all alike,
    would claim to be certain.
    """
    confidence = 1 - (1 - CONFIDENCE) / 2
    gained_low, gained_high = clopper_pearson(gained, n, confidence)
    lost_low, lost_high = clopper_pearson(lost, n, confidence)
    return Interval((gained - lost) / n, gained_low - lost_high, gained_high - lost_low)


def settled(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """Differences, with those that batch sizes and machines alone can make set to 0."""
    return np.where(np.abs(differences) <= TIE, 0.0, differences)


def sign_flip_p(differences: NDArray[np.float64], rounds: int = 9999, seed: int = 0) -> float:
    """Two-sided p-value that paired differences, one a cluster, are as likely up as down.

    By the sum under random signs (Fisher 1935): all of them up to 13 differences that are not 0,
    else `rounds` random ones, (r + 1) / (rounds + 1); above 20,000 the normal approximation.
    """
    moved = differences[differences != 0]
    n, observed = len(moved), abs(float(moved.sum()))
    if n == 0:
        return 1.0
    if n > LARGEST_FLIPPED:
        return float(2 * stats.norm.sf(observed / np.sqrt((moved**2).sum())))
    reached = observed - 1e-9 * float(np.abs(moved).sum())  # the observed signs must reach it
    if n <= ENUMERATED:
        signs = np.array(list(product((-1.0, 1.0), repeat=n)))
        return float(np.mean(np.abs(signs @ moved) >= reached))
    rng, block, hits = np.random.default_rng(seed), max(1, BLOCK // n), 0
    for start in range(0, rounds, block):
        signs = rng.integers(0, 2, (min(block, rounds - start), n)) * 2.0 - 1
        hits += int(np.count_nonzero(np.abs(signs @ moved) >= reached))
    return (1 + hits) / (rounds + 1)


def _tail(n: int) -> float:
    """Share of resamples left out at each end: less than nominal, as Student's t is wider."""
    if n < 2:
        return 0.0
    wider = np.sqrt(n / (n - 1)) * stats.t.ppf(1 - (1 - CONFIDENCE) / 2, n - 1)
    return float(stats.norm.sf(wider))


def _units(clusters: NDArray[np.int64]) -> int:
    return int(clusters.max()) + 1 if len(clusters) else 0


def _drawn(clusters: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
    size = _units(clusters)
    if size == 0:
        return np.zeros(0)
    counts = np.bincount(rng.integers(size, size=size), minlength=size).astype(np.float64)
    return counts[clusters]

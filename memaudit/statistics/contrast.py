"""Do two sides differ in many features at once? Two contrasts of both, tested by relabelling.

One adds the features with equal weights, each on its suspicious side: it learns nothing, and tells
most where there are few images. The other learns a linear discriminant (Fisher 1936) on some folds
and applies it to another, as classifier two-sample tests do (Lopez-Paz and Oquab 2017, arXiv
1610.06545). Held-out scores depend on each other through the weights, so that no t-test of them is
exact. Relabelling is, if all that looks at labels is done again each time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf_shrinkage

from memaudit.statistics.dataset import LARGEST_PERMUTED

FOLDS = 5
AT_ONCE = 4_000_000  # labels of relabellings that are held in memory
SLACK = 1e-9  # sums in another order
Values = NDArray[np.float64]
Labels = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Units:
    """What was divided into two sides: `values` [n, d], `member` [n].

    Units of the same number in `clusters` [n] stay in one fold; the numbers are in random order.
    """

    values: Values
    member: Labels
    clusters: NDArray[np.int64]

    def at(self, chosen: NDArray[np.int64]) -> Units:
        """Some of them."""
        return Units(self.values[chosen], self.member[chosen], self.clusters[chosen])


@dataclass(frozen=True, eq=False)
class Way:
    """One way to weigh the features: `scores` [n], and what they and relabelling say.

    `difference` is the mean of members less that of controls, in standard deviations of the score.
    """

    difference: float
    p_value: float
    scores: Values


@dataclass(frozen=True, eq=False)
class Contrast:
    """How far apart the sides are, with equal weights and with learned ones.

    `p_value` is the smaller of both, corrected for there being two. `suspicious` is the share, 0 to
    1, of the learned difference that comes of features whose learned weight is positive.
    """

    p_value: float
    equal: Way
    learned: Way
    suspicious: float


def contrast(units: Units, rounds: int, seed: int) -> Contrast:
    """Tell the sides apart both ways, and test that by (r + 1) / (rounds + 1).

    The p-values are exact if the labels could as well be dealt otherwise among the units, whatever
    their features: weights are learned anew for each relabelling, and all that stays (folds,
    scales, the shape of the penalty) is a function of the unlabelled units. The smaller of both is
    compared with its like in the same relabellings. Equal weights ask whether members are on the
    suspicious side, learned ones whether the sides differ in any direction. Above 5,000 units the
    sums that relabellings give are drawn from their normal law.
    """
    fold = np.unique(units.clusters, return_inverse=True)[1] % FOLDS
    order = np.argsort(fold, kind="stable")
    member = units.member[order]
    folded = _Folded.of(units.values[order], fold[order])
    rng = np.random.default_rng(seed)
    found = folded.apart(folded.dealt(member[None]))
    if len(member) > LARGEST_PERMUTED:
        others = [folded.apart(folded.drawn(int(member.sum()), rounds, rng))]
    else:
        every = _relabelled(member, rounds, rng)
        others = [folded.apart(folded.dealt(labels)) for labels in every]
    ranks = _ranks(np.concatenate([found, *others]))
    smaller = ranks.min(axis=1)
    scores = np.zeros((len(order), 2))
    scores[order] = folded.scores(member)
    equal, learned = (
        Way(float(found[0, k]), float(ranks[0, k]) / (rounds + 1), scores[:, k]) for k in (0, 1)
    )
    p_value = float(np.count_nonzero(smaller <= smaller[0])) / (rounds + 1)
    return Contrast(p_value, equal, learned, folded.suspicious(member))


def unit_spread(values: Values) -> Values:
    """Columns [n, d] with mean 0 and standard deviation 1; one without spread is 0."""
    offset = values - values.mean(axis=0)
    size = offset.std(axis=0)
    alike = size <= 1e-9 * (1 + np.abs(values).max(axis=0, initial=0.0))
    return np.divide(offset, size, out=np.zeros_like(offset), where=~alike)


def _ranks(differences: Values) -> NDArray[np.int64]:
    """How many of the rows [k, ways] are at least as large as each, in each way by itself."""
    ordered = np.sort(differences, axis=0)
    below = [
        np.searchsorted(one, values - SLACK)
        for one, values in zip(ordered.T, differences.T, strict=True)
    ]
    return len(differences) - np.stack(below, axis=1)


def _relabelled(member: Labels, rounds: int, rng: np.random.Generator) -> Iterator[Labels]:
    """Random labels [k, n] with as many members, `rounds` in all."""
    at_once = max(1, AT_ONCE // len(member))
    for start in range(0, rounds, at_once):
        labels = np.repeat(member[None], min(at_once, rounds - start), axis=0)
        yield rng.permuted(labels, axis=1, out=labels)


@dataclass(frozen=True, eq=False)
class _Sums:
    """What relabellings give to the members of each fold.

    `inside` [FOLDS, k, d + 1]: sums of features that are centred in the fold, each the difference
    of the sides' means in it times its weight; `counts` [FOLDS, k] of members.
    """

    inside: Values
    counts: Values


@dataclass(frozen=True, eq=False)
class _Folded:
    """Features on the axes of their covariance, and their sum, centred in each fold: [n, d + 1].

    Units are in the order of their folds, which begin at `starts`. `axes` [d, d] are columns;
    `variance` [d] is theirs, `shrunk` [d] the same drawn towards their mean (Ledoit and Wolf 2004).
    Both are of all units without their labels. To use them in place of the covariance within the
    sides changes the length of a discriminant and not its direction, and lets each relabelling
    cost one product. `level` [FOLDS] is the mean sum in each fold, 0 over all.
    """

    matrix: Values
    axes: Values
    starts: tuple[int, ...]
    variance: Values
    shrunk: Values
    level: Values

    @classmethod
    def of(cls, values: Values, fold: NDArray[np.int64]) -> _Folded:
        values = unit_spread(values)
        matrix = np.hstack([values, unit_spread(values.sum(axis=1)[:, None])])
        starts = np.searchsorted(fold, np.arange(FOLDS + 1)).tolist()
        level = np.zeros(FOLDS)
        for one, (start, end) in enumerate(pairwise(starts)):
            if end > start:
                level[one] = matrix[start:end, -1].mean()
                matrix[start:end] -= matrix[start:end].mean(axis=0)
        values = matrix[:, :-1]
        variance, axes = np.linalg.eigh(values.T @ values / len(values))
        variance = np.maximum(variance, 0.0)
        share = ledoit_wolf_shrinkage(values, assume_centered=True) if variance.any() else 1.0
        shrunk = (1 - share) * variance + share * variance.mean()
        shrunk = np.where(shrunk > 0, shrunk, 1.0)
        matrix[:, :-1] = values @ axes
        return cls(matrix, axes, tuple(starts), variance, shrunk, level)

    @property
    def sizes(self) -> NDArray[np.int64]:
        return np.diff(self.starts)

    def dealt(self, labels: Labels) -> _Sums:
        """What labels [k, n] give."""
        inside = [labels[:, start:end].astype(np.float64) for start, end in pairwise(self.starts)]
        parts = [self.matrix[start:end] for start, end in pairwise(self.starts)]
        sums = [one @ part for one, part in zip(inside, parts, strict=True)]
        return _Sums(np.stack(sums), np.stack([one.sum(axis=1) for one in inside]))

    def drawn(self, members: int, rounds: int, rng: np.random.Generator) -> _Sums:
        """What so many random labellings give, by the normal law of sums of many units."""
        counts = rng.multivariate_hypergeometric(self.sizes, members, rounds).T.astype(np.float64)
        sums = []
        for (start, end), count in zip(pairwise(self.starts), counts, strict=True):
            part, size = self.matrix[start:end], end - start
            spread, turn = np.linalg.eigh(part.T @ part / (size - 1))
            normal = rng.standard_normal((rounds, len(spread))) * np.sqrt(np.maximum(spread, 0.0))
            sums.append(np.sqrt(count * (size - count) / size)[:, None] * (normal @ turn.T))
        return _Sums(np.stack(sums), counts)

    def apart(self, sums: _Sums) -> Values:
        """Mean score of members less that of controls, [k, 2], equal and learned.

        A fold's held-out difference has the weight of the numbers of both sides in it (their
        harmonic mean), so that folds without one side count nothing.
        """
        sizes, counts = self.sizes[:, None], sums.counts
        weight = (counts * (sizes - counts) / np.maximum(sizes, 1)).sum(axis=0)
        inside = sums.inside[:, :, :-1]
        learned = np.einsum("fkd,fkd->k", inside, self._weights(inside.sum(axis=0) - inside))
        members, n = counts.sum(axis=0), len(self.matrix)
        total = sums.inside[:, :, -1].sum(axis=0) + self.level @ counts
        equal = total * n / (members * (n - members))
        return np.stack([equal, learned / np.maximum(weight, 1e-9)], axis=1)

    def scores(self, member: Labels) -> Values:
        """Score of each unit with equal weights and with those of other folds, [n, 2]."""
        _, weights = self._by_fold(member)
        each = np.repeat(weights, self.sizes, axis=0)
        learned = np.einsum("nd,nd->n", self.matrix[:, :-1], each)
        return np.stack([self.matrix[:, -1] + np.repeat(self.level, self.sizes), learned], axis=1)

    def suspicious(self, member: Labels) -> float:
        """Share of the learned difference by features of positive weight; .5 without difference."""
        inside, weights = (one @ self.axes.T for one in self._by_fold(member))
        parts = inside * weights
        total = float(parts.sum())
        return float(np.clip(parts[weights > 0].sum() / total, 0, 1)) if total > SLACK else 0.5

    def _by_fold(self, member: Labels) -> tuple[Values, Values]:
        """The difference of the sides in each fold, and the weights others teach, [FOLDS, d]."""
        inside = self.dealt(member[None]).inside[:, 0, :-1]
        return inside, self._weights(inside.sum(axis=0) - inside)

    def _weights(self, sums: Values) -> Values:
        """Weights [..., d] by what other folds show, so that scores have a variance of 1."""
        weights = sums / self.shrunk
        size = np.sqrt(weights**2 @ self.variance)[..., None]
        return np.divide(weights, size, out=np.zeros_like(weights), where=size > 0)

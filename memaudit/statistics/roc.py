"""True positives at few false positives, with the false-positive rate that was realised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from memaudit.errors import InputError
from memaudit.statistics.dataset import tail_order
from memaudit.statistics.sample import Sample

CONFIDENCE = 0.95


@dataclass(frozen=True)
class RocPoint:
    """Share of members (`tpr`) and of fresh controls (`realised_fpr`) above `threshold`.

    `fpr` is the rate asked for. `tpr_low`, `tpr_high` are the 95 % interval of Clopper and Pearson,
    `realised_fpr_high` their one-sided 95 % bound: 3/n where none of n controls is above (rule of
    three). `controls` counts the half that did not set the threshold.
    """

    fpr: float
    threshold: float
    tpr: float
    tpr_low: float
    tpr_high: float
    realised_fpr: float
    realised_fpr_high: float
    members: int
    controls: int


def roc_points(
    members: Sample,
    controls: Sample,
    levels: Sequence[float] = (0.01, 0.001),
    seed: int = 0,
) -> tuple[RocPoint, ...]:
    """TPR at fixed low FPR (Carlini et al. 2022, arXiv 2112.03570), one value a duplicate group.

    One half of the controls, cut by their ids, sets the threshold, the other half is counted
    against it; one image of each cluster counts. Left out are levels below 1 / (n + 1), n the
    threshold's half. Raises InputError without members.
    """
    if len(members) == 0:
        raise InputError("found no members, expected at least 1; give images of the training set")
    members, controls = members.one_each(), controls.one_each()
    first = controls.first_half(seed)
    ordered, counting, scores = (
        np.sort(controls.values[first]),
        controls.values[~first],
        members.values,
    )
    within = [level for level in levels if round(level * (len(ordered) + 1), 9) >= 1]
    return tuple(_point(level, scores, ordered, counting) for level in within)


def _point(
    level: float,
    members: NDArray[np.float64],
    ordered: NDArray[np.float64],
    counting: NDArray[np.float64],
) -> RocPoint:
    threshold = ordered[len(ordered) - tail_order(len(ordered), level)]
    true = stats.binomtest(int(np.count_nonzero(members > threshold)), len(members))
    false = stats.binomtest(
        int(np.count_nonzero(counting > threshold)), len(counting), alternative="less"
    )
    interval = true.proportion_ci(CONFIDENCE, method="exact")
    return RocPoint(
        fpr=level,
        threshold=float(threshold),
        tpr=float(true.statistic),
        tpr_low=float(interval.low),
        tpr_high=float(interval.high),
        realised_fpr=float(false.statistic),
        realised_fpr_high=float(false.proportion_ci(CONFIDENCE, method="exact").high),
        members=len(members),
        controls=len(counting),
    )

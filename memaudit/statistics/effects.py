"""How far the members stand above the controls, with intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from memaudit.errors import InputError
from memaudit.statistics.conformal import rounded
from memaudit.statistics.dataset import tail_order

HALF_CONFIDENCE = 0.975  # two intervals of 97.5 % make a difference of 95 %
FEWEST_CONTROLS = 2  # one to set the excess's threshold, one to count against it


@dataclass(frozen=True)
class Excess:
    """Share of members minus share of controls above `threshold`, with its 95 % interval.

    An excess above controls, not a share of memorized images: members below the threshold may be
    memorized too.
    """

    estimate: float
    low: float
    high: float
    threshold: float
    member_share: float
    control_share: float


@dataclass(frozen=True)
class Auc:
    """Chance that a member scores above a control (ties half), with its 95 % interval."""

    estimate: float
    low: float
    high: float


def excess_interval(
    members: NDArray[np.float64],
    controls: NDArray[np.float64],
    level: float = 0.01,
    seed: int = 0,
) -> Excess:
    """Excess of members above a control threshold, at least 95 % (Clopper and Pearson 1934).

    A random half of the controls sets the threshold, the other half is counted against it.
    Raises InputError with fewer than one member or two controls.
    """
    if len(members) < 1 or len(controls) < FEWEST_CONTROLS:
        raise InputError(
            f"found {len(members)} members and {len(controls)} controls, expected at least 1 "
            f"and {FEWEST_CONTROLS}; give more held-out controls"
        )
    first, second = halves(controls, seed)
    threshold = np.sort(first)[len(first) - tail_order(len(first), level)]
    member_share, member_low, member_high = _share(rounded(members) > threshold)
    control_share, control_low, control_high = _share(second > threshold)
    return Excess(
        estimate=member_share - control_share,
        low=member_low - control_high,
        high=member_high - control_low,
        threshold=float(threshold),
        member_share=member_share,
        control_share=control_share,
    )


def halves(
    controls: NDArray[np.float64], seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Split the rounded controls at random; the order of the rows does not matter.

    One seed picks the same ranks of every data set as large: intervals cover over seeds, so seeds
    should differ between data sets.
    """
    values = rounded(controls)
    first, second = half_positions(controls, seed)
    return values[first], values[second]


def half_positions(
    controls: NDArray[np.float64], seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the controls of either half stand."""
    order = np.argsort(rounded(controls), kind="stable")
    shuffled = order[np.random.default_rng(seed).permutation(len(order))]
    first, second = np.array_split(shuffled, 2)
    return first, second


def auc(members: NDArray[np.float64], controls: NDArray[np.float64]) -> float:
    """Chance in [0, 1] that a member scores above a control, ties counted half."""
    n, m = len(members), len(controls)
    ranks = stats.rankdata(np.concatenate([rounded(members), rounded(controls)]))
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))


def bootstrap_auc(
    members: NDArray[np.float64],
    controls: NDArray[np.float64],
    rounds: int = 1000,
    seed: int = 0,
) -> Auc:
    """AUC with the 95 % percentile interval over resampled members and controls.

    Pass one value per duplicate group: then groups are what is resampled.
    """
    n, m = len(members), len(controls)
    ordered, others = np.sort(rounded(members)), np.sort(rounded(controls))
    below, not_above = (np.searchsorted(others, ordered, side) for side in ("left", "right"))
    rng = np.random.default_rng(seed)
    estimates = np.empty(rounds)
    drawn_below = np.zeros(m + 1)
    for i in range(rounds):
        drawn = np.bincount(rng.integers(n, size=n), minlength=n).astype(np.float64)
        np.cumsum(np.bincount(rng.integers(m, size=m), minlength=m), out=drawn_below[1:])
        estimates[i] = drawn @ (drawn_below[below] + drawn_below[not_above]) / (2 * n * m)
    low, high = np.quantile(estimates, [0.025, 0.975])
    return Auc(auc(members, controls), float(low), float(high))


def share_above(
    members: NDArray[np.float64], controls: NDArray[np.float64], quantile: float = 0.99
) -> float:
    """Share of members above the controls' quantile."""
    return float(np.mean(rounded(members) > upper_quantile(rounded(controls), quantile)))


def upper_quantile(
    values: NDArray[np.float64], quantile: float = 0.99
) -> np.float64 | NDArray[np.float64]:
    """Quantile along the first axis, rounded up to a value that is there."""
    return np.quantile(values, quantile, axis=0, method="higher")


def clopper_pearson(hits: int, n: int, confidence: float) -> tuple[float, float]:
    """Exact interval of a share (Clopper and Pearson 1934)."""
    interval = stats.binomtest(hits, n).proportion_ci(confidence, method="exact")
    return float(interval.low), float(interval.high)


def _share(hits: NDArray[np.bool_]) -> tuple[float, float, float]:
    return float(hits.mean()), *clopper_pearson(int(hits.sum()), len(hits), HALF_CONFIDENCE)

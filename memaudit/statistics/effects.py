"""How far the members stand above the controls, with intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from memaudit.errors import InputError
from memaudit.statistics.conformal import rounded
from memaudit.statistics.dataset import tail_order
from memaudit.statistics.sample import Sample

HALF_CONFIDENCE = 0.975  # two intervals of 97.5 % make a difference of 95 %
TINY = 1e-12  # an interval's end lies at least so far from the estimate
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
    members: Sample, controls: Sample, level: float = 0.01, seed: int = 0
) -> Excess:
    """Excess of members above a control threshold, at least 95 % (Clopper and Pearson 1934).

    One half of the controls, cut by their ids, sets the threshold, the other half is counted
    against it. One image of each cluster counts. Raises InputError with fewer than one member or
    two controls.
    """
    members, controls = members.one_each(), controls.one_each()
    if len(members) < 1 or len(controls) < FEWEST_CONTROLS:
        raise InputError(
            f"found {len(members)} members and {len(controls)} controls, expected at least 1 "
            f"and {FEWEST_CONTROLS}; give more held-out controls"
        )
    first = controls.first_half(seed)
    setting, counting = controls.values[first], controls.values[~first]
    threshold = np.sort(setting)[len(setting) - tail_order(len(setting), level)]
    member_share, member_low, member_high = _share(members.values > threshold)
    control_share, control_low, control_high = _share(counting > threshold)
    return Excess(
        estimate=member_share - control_share,
        low=member_low - control_high,
        high=member_high - control_low,
        threshold=float(threshold),
        member_share=member_share,
        control_share=control_share,
    )


def auc(members: NDArray[np.float64], controls: NDArray[np.float64]) -> float:
    """Chance in [0, 1] that a member scores above a control, ties counted half."""
    n, m = len(members), len(controls)
    ranks = stats.rankdata(np.concatenate([rounded(members), rounded(controls)]))
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))


def auc_interval(members: Sample, controls: Sample) -> Auc:
    """AUC with its 95 % interval by method 5 of Newcombe (2006), which holds up to an AUC of 1.

    The images of a cluster share its weight, and the interval counts clusters, as if all images of
    one told the same: where they do not, it is too wide.
    """
    estimate = _weighted_auc(members, controls)
    return Auc(estimate, *_newcombe(estimate, members.units, controls.units))


def _weighted_auc(members: Sample, controls: Sample) -> float:
    order = np.argsort(controls.values, kind="stable")
    ordered = controls.values[order]
    weight = np.concatenate([[0.0], np.cumsum(controls.weights[order])])
    below, up_to = (np.searchsorted(ordered, members.values, side) for side in ("left", "right"))
    won = members.weights @ (weight[below] + weight[up_to]) / 2
    return float(np.clip(won / (members.units * controls.units), 0.0, 1.0))


def _newcombe(estimate: float, n: int, m: int) -> tuple[float, float]:
    """Where |estimate - t| is z standard errors of an AUC of t (Hanley and McNeil 1982)."""
    z, mean = stats.norm.ppf(0.975), (n + m) / 2 - 1

    def beyond(t: float) -> float:
        spread = t * (1 - t) * (1 + mean * (1 - t) / (2 - t) + mean * t / (1 + t)) / (n * m)
        return float((estimate - t) ** 2 - z**2 * spread)

    low = optimize.brentq(beyond, 0.0, estimate - TINY) if estimate > TINY else 0.0
    high = optimize.brentq(beyond, estimate + TINY, 1.0) if estimate < 1 - TINY else 1.0
    return float(low), float(high)


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


def chance_above(controls: int, quantile: float = 0.99) -> float:
    """Share of images that lie above the upper quantile of so many controls by chance alone."""
    return (controls - math.ceil(round(quantile * (controls - 1), 9))) / (controls + 1)


def clopper_pearson(hits: int, n: int, confidence: float) -> tuple[float, float]:
    """Exact interval of a share (Clopper and Pearson 1934)."""
    interval = stats.binomtest(hits, n).proportion_ci(confidence, method="exact")
    return float(interval.low), float(interval.high)


def _share(hits: NDArray[np.bool_]) -> tuple[float, float, float]:
    return float(hits.mean()), *clopper_pearson(int(hits.sum()), len(hits), HALF_CONFIDENCE)

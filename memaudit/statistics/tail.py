"""Extrapolated p-values: where ranks end, a tail fitted to the controls goes on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from memaudit.statistics.conformal import benjamini_hochberg, conformal_p
from memaudit.statistics.sample import Sample

CONFIDENCE = 0.95
UPPER_SHARE = 0.1  # of the fitted half lies above the threshold, at most MOST controls
FEWEST, MOST = 20, 250
FLOOR_FACTOR = 10  # extrapolation reaches ten times as far as ranks, no further
CHECK_LEVEL = 0.05
# The exponential tail is the limit of shape 0, and log1p(1e-9 x) / 1e-9 is x to nine digits.
SHAPES = np.linspace(0, 2, 41).clip(1e-9)
STEPS = np.exp(np.linspace(-1.5, 1.5, 101))  # scales tried, around the one that fits the median
DROP = stats.chi2.ppf(2 * CONFIDENCE - 1, 1) / 2  # of log likelihood: one-sided, so chi2 at .90


@dataclass(frozen=True)
class Tail:
    """A generalized Pareto tail above `threshold`, on `exceedances` of one half of the controls.

    `shape` and `scale` are those of the largest likelihood with shape >= 0. `check_p` is the
    smallest q-value of the other half's controls under the tail's bound. None is what could not be
    computed; `reason` is "" where the tail is `usable`.
    """

    threshold: float | None
    exceedances: int
    shape: float | None
    scale: float | None
    check_p: float | None
    usable: bool
    reason: str


@dataclass(frozen=True)
class _Fit:
    """`largest` [S] are the largest scales in the confidence region, 0 for a shape outside it."""

    threshold: float
    exceedances: int
    share: float
    shape: float
    scale: float
    largest: NDArray[np.float64]

    def bound(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Bound P(control >= score) from above, for scores at or above the threshold."""
        inside = self.largest > 0
        shapes, scales = SHAPES[inside, None], self.largest[inside, None]
        survival = np.exp(-np.log1p(shapes * (scores - self.threshold) / scales) / shapes)
        bound: NDArray[np.float64] = self.share * survival.max(axis=0)
        return bound


def extrapolated_p(
    members: Sample, controls: Sample, seed: int = 0
) -> tuple[NDArray[np.float64], Tail]:
    """P-values that go on below 1 / (m + 1), by a generalized Pareto tail (Pickands 1975).

    Model-based: not exact as `conformal_p` is. Above the tail's threshold a member gets the smaller
    of its conformal p and the 95 % upper bound of the tail's, at least 1 / (10 (m + 1)). The others
    keep their conformal p, as do all where the tail is not usable, or where no more members than by
    chance lie above all controls. One half of the controls, cut by
    their ids, is fitted, the other half checked; one image of each cluster is looked at.
    """
    p = conformal_p(members.values, controls.values, controls.weights)
    looked_at = controls.one_each()
    first = looked_at.first_half(seed)
    fit, reason = _fitted(np.sort(looked_at.values[first]))
    if fit is None:
        return p, Tail(None, 0, None, None, None, usable=False, reason=reason)
    tail = _checked(fit, looked_at.values[~first])
    if tail.usable and _beyond_chance(members, looked_at):
        # The smaller, or else p would rise at the threshold, where the bound is above the ranks: a
        # higher score must not count for less, nor a member lose what the exact rule flags.
        scores = members.values
        above = scores > fit.threshold
        floor = 1 / (FLOOR_FACTOR * (len(looked_at) + 1))
        p[above] = np.minimum(p[above], fit.bound(scores[above])).clip(floor)
    return p, tail


def _beyond_chance(members: Sample, controls: Sample) -> bool:
    """Do more members lie above the highest control than chance puts there?

    Of a rare kind of picture with a high score that happens to have no control, a tail knows
    nothing: of k such pictures all are members in a share (N / (N + m))^k of divisions.
    """
    above = int(np.count_nonzero(members.highest() > controls.values.max()))
    by_chance = stats.betabinom.pmf(np.arange(above), members.units, 1, len(controls)).sum()
    return bool(1 - by_chance <= CHECK_LEVEL)


def _fitted(ordered: NDArray[np.float64]) -> tuple[_Fit | None, str]:
    n = len(ordered)
    wanted = min(MOST, int(UPPER_SHARE * n))
    if wanted < FEWEST:
        return None, "too few controls"
    threshold = ordered[n - wanted - 1]
    excess = ordered[ordered > threshold] - threshold
    if len(np.unique(excess)) < wanted / 2:
        return None, "too many ties among the highest controls"
    scales = np.median(excess) * (SHAPES / np.expm1(SHAPES * np.log(2)))[:, None] * STEPS
    likelihood = _log_likelihood(excess, scales)
    best = np.unravel_index(likelihood.argmax(), likelihood.shape)
    if best[0] == len(SHAPES) - 1:
        return None, "the highest controls scatter too widely"
    fit = _Fit(
        threshold=float(threshold),
        exceedances=len(excess),
        share=float(stats.beta.ppf(CONFIDENCE, len(excess) + 1, n - len(excess))),
        shape=float(SHAPES[best[0]].round(6)),
        scale=float(scales[best]),
        largest=_largest(scales, likelihood >= likelihood.max() - DROP),
    )
    return fit, ""


def _log_likelihood(
    excess: NDArray[np.float64], scales: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Of the excesses [K], for each shape and scale [S, T]."""
    shapes = SHAPES[:, None]
    logs = np.log1p((shapes / scales)[..., None] * excess).sum(axis=-1)
    values: NDArray[np.float64] = -len(excess) * np.log(scales) - (1 + 1 / shapes) * logs
    return values


def _largest(scales: NDArray[np.float64], inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Largest scale inside, for each shape: survival rises with scale, so no other can bound it."""
    last = inside.shape[1] - 1 - inside[:, ::-1].argmax(axis=1)
    outwards = np.minimum(last + 1, inside.shape[1] - 1)  # the region ends before the next step
    return np.where(inside.any(axis=1), scales[np.arange(len(scales)), outwards], 0.0)


def _checked(fit: _Fit, controls: NDArray[np.float64]) -> Tail:
    """Would the bound flag a control of the other half? A tail that is too heavy does no harm."""
    p = np.ones(len(controls))
    above = controls > fit.threshold
    p[above] = fit.bound(controls[above])
    check_p = float(benjamini_hochberg(p).min())
    usable = check_p > CHECK_LEVEL
    return Tail(
        threshold=fit.threshold,
        exceedances=fit.exceedances,
        shape=fit.shape,
        scale=fit.scale,
        check_p=check_p,
        usable=usable,
        reason="" if usable else "the fit fails on the other half",
    )

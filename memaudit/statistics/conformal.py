"""Which members stand out of the controls: p-values, q-values, and how few can be flagged."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from memaudit.errors import InputError

SCORE_DIGITS = 5


def rounded(scores: ArrayLike) -> NDArray[np.float64]:
    """Round scores to 1e-5, so that the last bits of a batch break no tie; NaN is an InputError."""
    values = np.asarray(scores, dtype=np.float64)
    if np.isnan(values).any():
        raise InputError(
            f"{np.isnan(values).sum()} of {values.size} scores are NaN, which cannot be ranked; "
            "leave out what could not be scored"
        )
    return np.round(values, SCORE_DIGITS) + 0.0  # + 0.0 turns -0.0 into 0.0


def conformal_p(
    members: NDArray[np.float64],
    controls: NDArray[np.float64],
    weights: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """P-value of each member, (1 + #{controls >= score}) / (m + 1) (Bates et al. 2023).

    Uniform or larger in law if members and controls are exchangeable. Scores are rounded to 1e-5.
    `weights` [controls] are 1 / size of an image's cluster: then clusters are what is exchangeable,
    m counts those, and p holds for a random image of each (Lee, Barber and Willett 2023, arXiv
    2306.06342).
    """
    scores = rounded(controls)
    order = np.argsort(scores, kind="stable")
    counts = np.ones(len(scores)) if weights is None else weights[order]
    above = np.append(counts[::-1].cumsum()[::-1], 0.0)  # weight at or above each position
    below = np.searchsorted(scores[order], rounded(members), side="left")
    p: NDArray[np.float64] = (1 + above[below].round(9)) / (round(float(above[0]), 9) + 1)
    return p


def benjamini_hochberg(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Q-values of Benjamini and Hochberg (1995), rounded to 1e-12 so that q <= level is exact."""
    if len(p) == 0:
        return np.zeros(0)
    return np.round(stats.false_discovery_control(p, method="bh"), 12)


def smallest_count(n_members: int, n_controls: int, q: float) -> int:
    """Fewest members that can be flagged together; more than `n_members` means none can.

    No p-value is below 1 / (m + 1), so k members are flagged at q only if k >= N / (q (m + 1)).
    """
    return _ceil(n_members / (q * (n_controls + 1)))


def controls_needed(n_members: int, k: int, q: float) -> int:
    """Fewest controls with which `k` of `n_members` members can be flagged at q."""
    return _ceil(n_members / (q * k)) - 1


def _ceil(ratio: float) -> int:
    return math.ceil(round(ratio, 9))  # 50.00000000000001 is 50

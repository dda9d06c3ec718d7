"""Does a model return the frozen noise of its training copies? A test that needs no controls.

If the model learned nothing of the copies y_i = x_i + sigma_n z_i, then what it makes of x_i under
other noise knows as little of z_i as of fresh noise z' of the same law: their correlations with
h - x_i are exchangeable, image by image, and the sign of their difference is that of a fair coin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

LEVEL = 0.05
ABOVE = 1.001  # times sigma_n: at sigma_n itself the scan's noise may be the frozen noise
MOST_EXACT = 500  # images up to which the signed-rank law is computed in full
DIGITS = 12  # of a correlation: what differs less is the same, whatever the batch


@dataclass(frozen=True)
class Correlation:
    """Mean correlations of h - x with frozen and with fresh noise, over images, at one level.

    `p_value` is one-sided, by Wilcoxon's signed ranks of their difference over images.
    """

    reconstruction: str
    sigma: float
    images: int
    frozen: float
    fresh: float
    p_value: float


@dataclass(frozen=True)
class CorrelationTest:
    """All levels of one reconstruction; `p_value` is the smallest of them after Bonferroni."""

    levels: tuple[Correlation, ...]
    p_value: float

    @property
    def returned(self) -> bool:
        """Whether the frozen noise comes back."""
        return self.p_value <= LEVEL


def correlation_test(
    scores: pd.DataFrame, members: list[str], reconstruction: str, sigma_n: float
) -> CorrelationTest | None:
    """Test the members' rows of clean images, draws averaged; None if no level is above sigma_n.

    `scores` has example_id, reconstruction, sigma, copy_correlation and fresh_correlation. The
    members must not have been chosen by these numbers.
    """
    rows = scores[
        (scores["reconstruction"] == reconstruction)
        & (scores["sigma"] > ABOVE * sigma_n)
        & scores["example_id"].isin(members)
    ]
    if rows.empty:
        return None
    order = ["sigma", "example_id", "draw"]
    columns = ["copy_correlation", "fresh_correlation"]
    means = rows[[*order, *columns]].sort_values(order).groupby(order[:2])[columns].mean()
    levels = tuple(
        _level(reconstruction, sigma, means.loc[sigma].to_numpy(np.float64))
        for sigma in np.unique(rows["sigma"].to_numpy(np.float64)).tolist()
    )
    smallest = min(level.p_value for level in levels)
    return CorrelationTest(levels, min(1.0, len(levels) * smallest))


def signed_rank_p(differences: NDArray[np.float64]) -> float:
    """One-sided p that differences lie above 0 (Wilcoxon 1945); exact up to 500, else normal.

    Differences of 0 tell nothing and are left out.
    """
    told: list[float] = [value for value in np.round(differences, DIGITS).tolist() if value]
    if not told:
        return 1.0
    method: Literal["exact", "asymptotic"]
    method = "exact" if len(told) <= MOST_EXACT else "asymptotic"
    return float(stats.wilcoxon(told, alternative="greater", method=method).pvalue)


def _level(reconstruction: str, sigma: float, means: NDArray[np.float64]) -> Correlation:
    return Correlation(
        reconstruction=reconstruction,
        sigma=sigma,
        images=len(means),
        frozen=float(means[:, 0].mean()),
        fresh=float(means[:, 1].mean()),
        p_value=signed_rank_p(means[:, 0] - means[:, 1]),
    )

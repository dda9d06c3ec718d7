"""Candidates for the one score of an image: columns, and ways to combine levels and draws.

All are functions of the unlabelled pool, but for the cross-fitted one, which learns from half of
the controls and ranks with the other half.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from memaudit.attacks.passes import claims_of, pooled
from memaudit.attacks.reconstruction import ODE
from memaudit.config import AttackConfig
from memaudit.records import CLEAN, FULL, Primary
from memaudit.statistics.combine import closeness, combine
from memaudit.statistics.probes import Probe

COLUMNS = (
    *("margin", "own_similarity", "own_rank", "distance_ratio"),
    *("l2", "tile_l2", "psnr", "ssim", "adaptive_l2", "l2_ratio"),
)
SUMMED = tuple(name for name in COLUMNS if name not in ("own_rank", "psnr"))
SUMS = tuple(names for n in (2, 3, 4) for names in combinations(SUMMED, n))
FEATURES = ("margin", "own_similarity", "l2", "tile_l2", "ssim")
Combination = Callable[[pd.DataFrame, pd.Series], pd.Series]


def by(*columns: str) -> Primary:
    """The score of full sampling that pools some columns."""
    return pooled(claims_of(AttackConfig(score=columns))[0])


def levels_of(scores: pd.DataFrame, column: str) -> pd.DataFrame:
    """Standardised level means, [example, level]."""
    return closeness(scores, by(column).columns, Probe(ODE))


def over_levels(column: str, how: str) -> Combination:
    """Combine the levels of a column otherwise than by their mean."""

    def combination(scores: pd.DataFrame, _: pd.Series) -> pd.Series:
        levels = levels_of(scores, column)
        if how == "first component":
            centred = levels - levels.mean()
            weights = np.linalg.svd(centred.to_numpy(), full_matrices=False)[2][0]
            return centred @ (weights * np.sign(weights.sum()))
        if how == "clipped mean":
            return levels.clip(-3, 10).mean(axis=1)
        return getattr(levels, how)(axis=1)

    return combination


def over_draws(column: str, how: str) -> Combination:
    """Take the best or the middle draw of each level, not the mean."""

    def combination(scores: pd.DataFrame, _: pd.Series) -> pd.Series:
        rows = Probe(ODE).rows(scores)
        one = rows.groupby(["example_id", "level"], as_index=False)[column].agg(how)
        return combine(one.assign(attack=ODE, input=CLEAN, phase=FULL, draw=0), by(column))

    return combination


def cross_fitted(scores: pd.DataFrame, repeats: pd.Series) -> pd.Series:
    """Logistic regression of half of the controls against all others (Marandon et al. 2022).

    The controls that it learned from are given the lowest score: they calibrate no more.
    """
    table = pd.concat({name: levels_of(scores, name) for name in FEATURES}, axis=1)
    x = np.column_stack([table.clip(-5, 10).to_numpy(), np.ones(len(table))])
    controls = np.flatnonzero(~table.index.isin(repeats.index))
    learned = np.random.default_rng(0).permutation(controls)[: len(controls) // 2]
    y = np.ones(len(table))
    y[learned] = 0
    weight = np.where(y == 1, 0.5 / y.sum(), 0.5 / (1 - y).sum())

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        z = x @ w
        gradient = x.T @ (weight * (1 / (1 + np.exp(-z)) - y)) + 1e-3 * w
        return float(weight @ (np.logaddexp(0, z) - y * z) + 5e-4 * w @ w), gradient

    fitted = pd.Series(x @ minimize(loss, np.zeros(x.shape[1]), jac=True).x, table.index)
    return fitted.drop(table.index[learned])


COMBINATIONS: dict[str, Combination] = {
    "margin, largest level": over_levels("margin", "max"),
    "margin, median level": over_levels("margin", "median"),
    "margin, clipped mean": over_levels("margin", "clipped mean"),
    "margin, first component": over_levels("margin", "first component"),
    "margin, best draw": over_draws("margin", "max"),
    "margin, median draw": over_draws("margin", "median"),
    "cross-fitted logistic": cross_fitted,
}

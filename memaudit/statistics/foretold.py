"""What pictures tell of many scores at once, in closed form and without a look at the labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from memaudit.statistics.contrast import unit_spread

PENALTIES = 10.0 ** np.arange(-2.5, 1.6, 0.5)  # for features and scores of variance 1
FEWEST = 30  # images that a fit takes
MOST = 5000  # images that a fit is given
STEEPEST = 1.5  # a prediction may be stretched by this much, because a penalty shrinks it
Values = NDArray[np.float64]


def foretold(scores: Values, seen: Values, fold: NDArray[np.int64]) -> Values:
    """Predict scores [n, k] from what pictures show, [n, d], each fold [n] by the others: [n, k].

    Ridge regression (Hoerl and Kennard 1970) on a parabola of each feature. Of the penalties each
    score has that with the least squared error in held-out folds. A prediction is then stretched
    to fit those, or to nothing if it tells nothing of them. No label enters.
    """
    if not seen.size:
        return np.zeros_like(scores)
    matrix = unit_spread(np.concatenate([seen, seen**2], axis=1))
    target = scores - scores.mean(axis=0)
    told = np.zeros((len(PENALTIES), *scores.shape))
    for one in np.unique(fold):
        inside = fold == one
        rows = np.flatnonzero(~inside)[:MOST]
        if len(rows) >= FEWEST:
            told[:, inside] = _ridge(matrix[rows], target[rows], matrix[inside])
    errors = ((told - target) ** 2).mean(axis=1)
    best = told[errors.argmin(axis=0), :, np.arange(scores.shape[1])].T
    best = best - best.mean(axis=0)
    size = (best**2).sum(axis=0)
    slope = np.divide((best * target).sum(axis=0), size, out=np.zeros_like(size), where=size > 1e-9)
    stretched: Values = np.clip(slope, 0.0, STEEPEST) * best
    return stretched


def _ridge(matrix: Values, target: Values, others: Values) -> Values:
    """Predictions of others, [penalties, others, k]."""
    middle, level = matrix.mean(axis=0), target.mean(axis=0)
    matrix, others = matrix - middle, others - middle
    size, axes = np.linalg.eigh(matrix.T @ matrix / len(matrix))
    common = axes.T @ (matrix.T @ (target - level)) / len(matrix)
    turned = others @ axes
    each = [turned / (np.maximum(size, 0) + one) @ common for one in PENALTIES]
    told: Values = np.stack(each) + level
    return told

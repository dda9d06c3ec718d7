"""Kernel ridge classifiers whose held-out predictions are linear in the labels.

The labels can then be permuted, and everything refitted, for one matrix product.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial import distance

Matrix = NDArray[np.float64]

ROUNDS = 1999
BLOCK = 250  # relabellings at once
DIGITS = 9  # of predictions and their agreement; what rounding errors tell apart is a tie
RIDGE = 1.0  # kernels have a diagonal of about 1; .1 and 10 lose power on 80 and 1,000 real images


def mixed_kernel(features: Matrix) -> Matrix:
    """Half linear, half Gaussian, [n, d] -> [n, n]: each feature on its own, and all together."""
    return (linear_kernel(features) + gaussian_kernel(features)) / 2


def linear_kernel(features: Matrix) -> Matrix:
    """Inner products of centred features, [n, d] -> [n, n], mean of the diagonal 1 (or all 0)."""
    centred = features - features.mean(axis=0)
    return _scaled(centred @ centred.T)


def gaussian_kernel(features: Matrix) -> Matrix:
    """Gaussian of distances over their median, [n, d] -> [n, n], centred, scaled alike."""
    squared = distance.pdist(features, "sqeuclidean")
    median = float(np.median(squared)) or 1.0
    kernel: Matrix = np.exp(-distance.squareform(squared) / median)
    means = kernel.mean(axis=0)
    return _scaled(kernel - means - means[:, None] + means.mean())


def held_out(kernel: Matrix) -> Matrix:
    """Matrix [n, n] that takes centred labels to their leave-one-out predictions.

    Kernel ridge regression leaves one out in closed form: y - (G y) / diag(G), where G is the
    inverse of kernel + RIDGE (Cawley and Talbot 2004).
    """
    n = len(kernel)
    # SciPy's inverse of positive matrices waits .4 s for threads on a busy machine, at any size.
    inverse = np.linalg.inv(kernel + RIDGE * np.eye(n))
    matrix: Matrix = np.eye(n) - inverse / np.diag(inverse)[:, None]
    return matrix


def held_out_auc(hat: Matrix, member: NDArray[np.bool_]) -> float:
    """Chance that a member is predicted above a control, ties counted half."""
    n, m = np.count_nonzero(member), np.count_nonzero(~member)
    ranks = stats.rankdata(np.round(hat @ (member - member.mean()), DIGITS))
    return float((ranks[member].sum() - n * (n + 1) / 2) / (n * m))


def permutation_p(hat: Matrix, member: NDArray[np.bool_], rng: np.random.Generator) -> float:
    """P-value of the labels' agreement with their held-out predictions, one-sided.

    Each relabelling is refitted, so the p-value is exact although held-out predictions depend on
    each other; it is (1 + r) / (1 + ROUNDS) (Phipson and Smyth 2010). Agreement is the covariance,
    which finds weaker shifts than the AUC.
    """
    labels = member - member.mean()
    observed = _agreement(hat, labels[:, None])
    as_high = 0
    for start in range(0, ROUNDS, BLOCK):
        drawn = np.tile(labels[:, None], min(BLOCK, ROUNDS - start))
        agreement = _agreement(hat, rng.permuted(drawn, axis=0))
        as_high += int(np.count_nonzero(agreement >= observed))
    return (1 + as_high) / (1 + ROUNDS)


def _agreement(hat: Matrix, labels: Matrix) -> Matrix:
    agreement: Matrix = np.round(np.mean(labels * (hat @ labels), axis=0), DIGITS)
    return agreement


def _scaled(kernel: Matrix) -> Matrix:
    size = np.trace(kernel) / len(kernel)
    return kernel / size if size > 1e-12 else np.zeros_like(kernel)

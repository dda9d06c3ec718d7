"""Does the member side as a whole stand out of the controls?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from memaudit.errors import InputError
from memaudit.statistics.conformal import rounded

LARGEST_PERMUTED = 20_000


@dataclass(frozen=True)
class Exceedance:
    """Members above the `order`-th largest control; `expected` of them by chance."""

    count: int
    expected: float
    order: int
    threshold: float
    p_value: float


@dataclass(frozen=True)
class DatasetTest:
    """Two tests of one question; `p_value` is the smaller after Bonferroni."""

    mann_whitney_p: float
    exceedance: Exceedance
    p_value: float


def dataset_test(
    members: NDArray[np.float64],
    controls: NDArray[np.float64],
    rounds: int = 9999,
    seed: int = 0,
) -> DatasetTest:
    """Test the whole (Mann-Whitney) and the upper tail (exceedance), with Bonferroni over both."""
    whole = mann_whitney_permutation(members, controls, rounds, seed)
    tail = exceedance(members, controls)
    return DatasetTest(whole, tail, min(1.0, 2 * min(whole, tail.p_value)))


def mann_whitney_permutation(
    members: NDArray[np.float64],
    controls: NDArray[np.float64],
    rounds: int = 9999,
    seed: int = 0,
) -> float:
    """One-sided p-value that members rank higher (Mann and Whitney 1947), ties by midranks.

    By label permutation, (r + 1) / (rounds + 1); above 20,000 values by the normal approximation
    with the tie-corrected variance.
    """
    _need_both(members, controls)
    n, m = len(members), len(controls)
    ranks = stats.rankdata(np.concatenate([rounded(members), rounded(controls)]))
    observed = ranks[:n].sum()
    if n + m > LARGEST_PERMUTED:
        spread = np.sqrt(n * m / (n + m) * ranks.var(ddof=1))
        excess = observed - n * (n + m + 1) / 2
        return float(stats.norm.sf(excess / spread)) if spread > 0 else 1.0
    ranks.sort()  # the draws below must not depend on the order of the rows
    rng = np.random.default_rng(seed)
    permuted = np.array([_random_sum(ranks, n, rng) for _ in range(rounds)])
    return float((1 + np.count_nonzero(permuted >= observed)) / (rounds + 1))


def exceedance(
    members: NDArray[np.float64], controls: NDArray[np.float64], level: float = 0.01
) -> Exceedance:
    """Count the members above the j-th largest of m controls, j = floor(level (m + 1)) or else 1.

    Under exchangeability the count of N members is BetaBinomial(N, j, m + 1 - j); a plain binomial
    would take the estimated threshold for the true one and call chance an excess. Ties with the
    threshold do not count, which can only raise p.
    """
    _need_both(members, controls)
    n, m = len(members), len(controls)
    order = tail_order(m, level)
    threshold = np.sort(rounded(controls))[m - order]
    count = int(np.count_nonzero(rounded(members) > threshold))
    tail = stats.betabinom.pmf(np.arange(count, n + 1), n, order, m + 1 - order).sum()
    return Exceedance(
        count=count,
        expected=n * order / (m + 1),
        order=order,
        threshold=float(threshold),
        p_value=min(1.0, float(tail)),
    )


def tail_order(n_controls: int, level: float) -> int:
    """Rank, from the top, of the control that a share `level` of fresh controls exceeds."""
    return max(1, int(round(level * (n_controls + 1), 9)))


def _random_sum(ranks: NDArray[np.float64], n: int, rng: np.random.Generator) -> float:
    # The smaller side is drawn: the other's sum is what is left.
    if 2 * n > len(ranks):
        return float(ranks.sum() - _random_sum(ranks, len(ranks) - n, rng))
    return float(rng.choice(ranks, n, replace=False, shuffle=False).sum())


def _need_both(members: NDArray[np.float64], controls: NDArray[np.float64]) -> None:
    if not (len(members) and len(controls)):
        raise InputError(
            f"found {len(members)} members and {len(controls)} controls, expected some of each; "
            "give held-out controls"
        )

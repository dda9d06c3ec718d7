"""Does the member side as a whole stand out of the controls?"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from memaudit.errors import InputError
from memaudit.statistics.sample import Sample

LARGEST_PERMUTED = 5_000
LOWEST_SHARE = 0.1  # of the controls: further down than this lies no upper tail
FIRST = (1, 2, 3, 5)  # orders; later decades take 1, 2 and 5


@dataclass(frozen=True)
class UpperTail:
    """Members above one of the highest controls, the `order`-th, which lies at `threshold`.

    `count` of them are above it, `expected` by chance. It is the order that tells most of those in
    `orders`; `p_value` takes into account that all of them were tried.
    """

    count: int
    expected: float
    order: int
    threshold: float
    orders: tuple[int, ...]
    p_value: float


@dataclass(frozen=True)
class DatasetTest:
    """Two tests of one question; `p_value` is the smaller after Bonferroni."""

    mann_whitney_p: float
    tail: UpperTail
    p_value: float


def dataset_test(
    members: Sample, controls: Sample, rounds: int = 9999, seed: int = 0
) -> DatasetTest:
    """Test the whole (Mann-Whitney) and the upper tail, with Bonferroni over both.

    What is relabelled is clusters, whose images share a weight of 1. InputError without either
    side.
    """
    whole = mann_whitney_permutation(members, controls, rounds, seed)
    tail = upper_tail(members, controls, rounds, seed)
    return DatasetTest(whole, tail, min(1.0, 2 * min(whole, tail.p_value)))


def mann_whitney_permutation(
    members: Sample,
    controls: Sample,
    rounds: int = 9999,
    seed: int = 0,
    *,
    two_sided: bool = False,
) -> float:
    """P-value that members rank higher (Mann and Whitney 1947), or otherwise, ties by midranks.

    The rank of a cluster is the mean of its images'. By label permutation, (r + 1) / (rounds + 1);
    above 5,000 clusters by the normal approximation with the variance of the ranks that are there.
    """
    _need_both(members, controls)
    n, m = members.units, controls.units
    of_images = stats.rankdata(np.concatenate([members.values, controls.values]))
    member_ranks = members.mean(of_images[: len(members)])
    ranks = np.concatenate([member_ranks, controls.mean(of_images[len(members) :])])
    by_chance = n * ranks.mean()
    excess = float(member_ranks.sum() - by_chance)
    if two_sided:
        excess = abs(excess)
    if n + m > LARGEST_PERMUTED:
        spread = np.sqrt(n * m / (n + m) * ranks.var(ddof=1))
        p_value = float(stats.norm.sf(excess / spread)) if spread > 0 else 1.0
        return min(1.0, 2 * p_value) if two_sided else p_value
    ranks.sort()  # the draws below must not depend on the order of the rows
    rng = np.random.default_rng(seed)
    permuted = np.array([_random_sum(ranks, n, rng) for _ in range(rounds)]) - by_chance
    if two_sided:
        permuted = np.abs(permuted)
    slack = 1e-9 * by_chance  # sums in another order
    return float((1 + np.count_nonzero(permuted >= excess - slack)) / (rounds + 1))


def upper_tail(members: Sample, controls: Sample, rounds: int = 9999, seed: int = 0) -> UpperTail:
    """Are too many members above the highest controls, however many those members are?

    For each order j the members above the j-th largest of m controls are counted. Under
    exchangeability the count of N members is BetaBinomial(N, j, m + 1 - j); a plain binomial would
    take the estimated threshold for the true one and call chance an excess. The smallest of these
    p-values is compared with those of random labels, (r + 1) / (rounds + 1), so that p is exact
    though all orders were tried. Ties with a threshold do not count, which can only raise p. A
    cluster counts by its highest image.
    """
    _need_both(members, controls)
    high, low = members.highest(), np.sort(controls.highest())
    n, m = len(high), len(low)
    law = tail_law(n, m)
    thresholds = low[m - np.array(law.orders)]
    counts = np.count_nonzero(high[:, None] > thresholds, axis=0)
    p_values = law.p_values(counts[None])[0]
    best = int(p_values.argmin())
    by_chance = law.smallest(rounds, seed)
    as_small = np.count_nonzero(by_chance <= p_values[best] * (1 + 1e-9))
    return UpperTail(
        count=int(counts[best]),
        expected=n * law.orders[best] / (m + 1),
        order=law.orders[best],
        threshold=float(thresholds[best]),
        orders=law.orders,
        p_value=float((1 + as_small) / (rounds + 1)),
    )


def tail_order(n_controls: int, level: float) -> int:
    """Rank, from the top, of the control that a share `level` of fresh controls exceeds."""
    return max(1, int(round(level * (n_controls + 1), 9)))


def tail_orders(n_controls: int) -> tuple[int, ...]:
    """The orders that are tried: 1, 2, 3, 5, 10, 20, 50, ... up to a tenth of the controls."""
    decades = (step * 10**k for k in range(1, 9) for step in (1, 2, 5))
    highest = max(1, int(LOWEST_SHARE * n_controls))
    return tuple(order for order in (*FIRST, *decades) if order <= highest)


@dataclass(frozen=True, eq=False)
class TailLaw:
    """What chance does to the members above the highest of m controls.

    `tails` [orders, n + 1]: the probability that at least so many of n members are above.
    """

    n: int
    m: int
    orders: tuple[int, ...]
    tails: NDArray[np.float64]

    def p_values(self, counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """P-value of each order, [K, orders], of counts alike."""
        p_values: NDArray[np.float64] = self.tails[np.arange(len(self.orders)), counts]
        return p_values

    def smallest(self, rounds: int, seed: int) -> NDArray[np.float64]:
        """Smallest p-value over the orders of random labels, [rounds].

        Between two controls of random ranks lies a BetaBinomial number of the members that are
        left, so all counts of a relabelling are drawn without a permutation.
        """
        rng = np.random.default_rng(seed)
        counts = np.zeros((rounds, len(self.orders)), np.int64)
        above, before = np.zeros(rounds, np.int64), 0
        for k, order in enumerate(self.orders):
            share = rng.beta(order - before, self.m + 1 - order, rounds)
            above = above + rng.binomial(self.n - above, share)
            counts[:, k], before = above, order
        smallest: NDArray[np.float64] = self.p_values(counts).min(axis=1)
        return smallest


@lru_cache(maxsize=8)
def tail_law(n: int, m: int) -> TailLaw:
    """What chance does to n members and m controls."""
    orders = tail_orders(m)
    of = np.array(orders)[:, None]
    masses = np.asarray(stats.betabinom.pmf(np.arange(n + 1), n, of, m + 1 - of))
    tails = np.minimum(1.0, masses[:, ::-1].cumsum(axis=1)[:, ::-1])
    return TailLaw(n, m, orders, tails)


def _random_sum(ranks: NDArray[np.float64], n: int, rng: np.random.Generator) -> float:
    # The smaller side is drawn: the other's sum is what is left.
    if 2 * n > len(ranks):
        return float(ranks.sum() - _random_sum(ranks, len(ranks) - n, rng))
    return float(rng.choice(ranks, n, replace=False, shuffle=False).sum())


def _need_both(members: Sample, controls: Sample) -> None:
    if not (len(members) and len(controls)):
        raise InputError(
            f"found {len(members)} members and {len(controls)} controls, expected some of each; "
            "give held-out controls"
        )

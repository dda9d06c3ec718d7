from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from memaudit.errors import InputError
from memaudit.statistics import dataset, effects
from memaudit.statistics.dataset import DatasetTest, UpperTail, tail_orders
from memaudit.statistics.effects import Excess, auc, auc_interval, chance_above, share_above
from memaudit.statistics.sample import Sample

Scores = NDArray[np.float64]


def both(members: Scores, controls: Scores) -> tuple[Sample, Sample]:
    return Sample.of(members), Sample.of(controls)


def mann_whitney_permutation(members: Scores, controls: Scores, rounds: int = 9999) -> float:
    return dataset.mann_whitney_permutation(*both(members, controls), rounds)


def dataset_test(members: Scores, controls: Scores, rounds: int = 9999) -> DatasetTest:
    return dataset.dataset_test(*both(members, controls), rounds)


def upper_tail(members: Scores, controls: Scores, rounds: int = 9999, seed: int = 0) -> UpperTail:
    return dataset.upper_tail(*both(members, controls), rounds, seed)


def excess_interval(members: Scores, controls: Scores) -> Excess:
    return effects.excess_interval(*both(members, controls))


def test_permutation_p_agrees_with_all_permutations() -> None:
    members, controls = np.array([3.0, 5.0, 4.0]), np.array([1.0, 4.0, 2.0, 0.0])
    pool = stats.rankdata(np.concatenate([members, controls]))
    sums = [pool[list(chosen)].sum() for chosen in combinations(range(7), 3)]
    exact = np.mean(np.array(sums) >= pool[:3].sum())
    assert mann_whitney_permutation(members, controls) == pytest.approx(exact, abs=0.01)


def test_permutation_p_is_never_below_its_resolution() -> None:
    members, controls = np.arange(100, 150), np.arange(50)
    assert mann_whitney_permutation(members, controls, rounds=99) == 0.01
    assert mann_whitney_permutation(controls, members, rounds=99) == 1.0


def test_large_samples_by_normal_approximation_agree_with_scipy() -> None:
    rng = np.random.default_rng(3)
    members, controls = rng.integers(0, 50, 9_000) + 0.4, rng.integers(0, 50, 12_000) + 0.4
    expected = stats.mannwhitneyu(
        members, controls, alternative="greater", method="asymptotic", use_continuity=False
    )
    assert mann_whitney_permutation(members, controls) == pytest.approx(expected.pvalue)


def test_scores_all_alike_have_p_one() -> None:
    assert mann_whitney_permutation(np.ones(5), np.ones(9), rounds=99) == 1.0
    assert mann_whitney_permutation(np.ones(10_001), np.ones(10_001)) == 1.0
    assert upper_tail(np.ones(5), np.ones(9)).p_value == 1.0


def test_the_upper_tail_by_hand() -> None:
    found = upper_tail(np.array([0.0, 5.0, 6.0]), np.array([1.0, 2.0, 5.0]))
    # one member above the largest of three controls: 1 - P(none) = 1 - 3/6
    assert (found.count, found.order, found.threshold, found.orders) == (1, 1, 5.0, (1,))
    assert found.expected == pytest.approx(3 / 4)
    assert found.p_value == pytest.approx(1 / 2, abs=0.02)


def test_the_orders_reach_down_to_a_tenth_of_the_controls() -> None:
    assert tail_orders(9) == tail_orders(19) == (1,)
    assert tail_orders(39) == (1, 2, 3)
    assert tail_orders(1000) == (1, 2, 3, 5, 10, 20, 50, 100)
    assert tail_orders(100_000)[-3:] == (2000, 5000, 10_000)


def test_the_tail_p_is_that_of_all_relabellings() -> None:
    rng = np.random.default_rng(5)
    scores, n = rng.normal(size=60), 25  # 35 controls: orders 1, 2, 3
    found = upper_tail(scores[:n], scores[n:], rounds=1)

    def smallest(values: Scores) -> float:
        controls = np.sort(values[n:])[::-1]
        above = [np.count_nonzero(values[:n] > controls[j - 1]) for j in found.orders]
        return min(
            stats.betabinom.sf(count - 1, n, j, len(controls) + 1 - j)
            for count, j in zip(above, found.orders, strict=True)
        )

    observed = smallest(scores) * (1 + 1e-9)
    exact = np.mean([smallest(rng.permutation(scores)) <= observed for _ in range(4000)])
    assert upper_tail(scores[:n], scores[n:]).p_value == pytest.approx(exact, abs=0.03)


def test_the_upper_tail_keeps_its_level_at_every_size_and_with_ties() -> None:
    rng = np.random.default_rng(8)
    level, rounds = 0.0125, 400
    for n, m in ((5000, 1000), (40, 149), (200, 39)):
        pools = rng.normal(size=(rounds, n + m))
        for ties in (False, True):
            drawn = pools.round(0) if ties else pools
            p = [upper_tail(one[:n], one[n:], 999, k).p_value for k, one in enumerate(drawn)]
            share = np.mean(np.array(p) <= level)
            assert share <= level + 2 * np.sqrt(level * (1 - level) / rounds)


def test_one_in_a_hundred_memorized_of_a_thousand_is_seen() -> None:
    rng = np.random.default_rng(9)
    scores = rng.normal(size=(50, 2000))
    scores[:, :10] = 10 + rng.random((50, 10))  # above everything else
    p = [dataset_test(one[:1000], one[1000:], 999).p_value for one in scores]
    assert np.mean(np.array(p) <= 0.025) >= 0.9


def test_the_dataset_p_is_corrected_for_two_tests() -> None:
    rng = np.random.default_rng(1)
    test = dataset_test(rng.normal(size=200) + 0.2, rng.normal(size=200), rounds=999)
    assert test.p_value == 2 * min(test.mann_whitney_p, test.tail.p_value)
    assert dataset_test(np.zeros(9), np.ones(9), rounds=99).p_value == 1.0


def test_a_side_without_scores_is_refused() -> None:
    with pytest.raises(InputError, match="found 2 members and 0 controls"):
        dataset_test(np.ones(2), np.zeros(0))
    with pytest.raises(InputError, match="found 2 members and 1 controls"):
        excess_interval(np.ones(2), np.zeros(1))


def test_excess_by_hand() -> None:
    found = excess_interval(np.array([9.0, 9.0, 0.0, 0.0]), np.array([1.0, 1.0, 1.0, 1.0]))
    assert (found.threshold, found.member_share, found.control_share) == (1.0, 0.5, 0.0)
    assert found.estimate == 0.5
    none_of_two = 1 - (0.025 / 2) ** (1 / 2)  # Clopper-Pearson bound of 0 hits
    low, high = stats.binomtest(2, 4).proportion_ci(0.975)
    assert found.low == pytest.approx(low - none_of_two)
    assert found.high == pytest.approx(high)


def test_the_excess_interval_covers_the_truth_and_ignores_row_order() -> None:
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(100):
        members = np.where(rng.uniform(size=400) < 0.2, 9.0, rng.normal(size=400))
        controls = rng.normal(size=400)
        found = excess_interval(members, controls)
        truth = 0.2 * stats.norm.cdf(found.threshold)
        covered += found.low <= truth <= found.high
    assert covered >= 95
    ids = [str(number) for number in range(400)]
    turned = Sample.of(controls[::-1], ids[::-1])
    assert effects.excess_interval(Sample.of(members), turned) == found


def test_auc_counts_ties_half() -> None:
    assert auc(np.array([1.0, 2.0]), np.array([0.0, 1.0])) == (1 + 0.5 + 1 + 1) / 4


@pytest.mark.parametrize(("n", "m"), [(10, 200), (40, 40)])
@pytest.mark.parametrize("truth", [0.5, 0.95, 0.999])
def test_the_auc_interval_covers_the_truth_up_to_one(n: int, m: int, truth: float) -> None:
    rng = np.random.default_rng(4)
    shift = np.sqrt(2) * stats.norm.ppf(truth)
    found = [auc_interval(*both(rng.normal(shift, size=n), rng.normal(size=m))) for _ in range(300)]
    assert np.mean([one.low <= truth <= one.high for one in found]) >= 0.92
    assert all(one.low <= one.estimate <= one.high for one in found)


def test_a_perfect_auc_is_not_certain() -> None:
    found = auc_interval(*both(np.ones(40), np.zeros(150)))
    assert (found.estimate, found.high) == (1.0, 1.0)
    assert 0.9 < found.low < 0.99
    turned = auc_interval(*both(np.zeros(40), np.ones(150)))
    assert (turned.estimate, turned.low) == (0.0, 0.0)
    assert turned.high == pytest.approx(1 - found.low)


def test_the_auc_of_the_interval_is_the_auc() -> None:
    members, controls = np.round(np.random.default_rng(4).normal(size=(2, 60)), 1)
    assert auc_interval(*both(members, controls)).estimate == pytest.approx(auc(members, controls))


def test_the_share_above_by_chance_is_what_so_few_controls_make_it() -> None:
    for controls in (39, 99, 149, 1000):
        rng = np.random.default_rng(controls)
        shares = [share_above(rng.normal(size=50), rng.normal(size=controls)) for _ in range(2000)]
        assert np.mean(shares) == pytest.approx(chance_above(controls), rel=0.1)
    assert chance_above(39) == 1 / 40


def test_share_above_counts_members_over_the_control_quantile() -> None:
    controls = np.arange(1.0, 101.0)
    assert share_above(np.array([98.0, 99.0, 100.0, 100.5]), controls, 0.99) == 0.25

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from memaudit.errors import InputError
from memaudit.statistics.dataset import dataset_test, exceedance, mann_whitney_permutation
from memaudit.statistics.effects import auc, bootstrap_auc, excess_interval, share_above


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
    assert exceedance(np.ones(5), np.ones(9)).p_value == pytest.approx(1.0)


def test_exceedance_by_hand() -> None:
    found = exceedance(np.array([0.0, 5.0, 6.0]), np.array([1.0, 2.0, 5.0]))
    # one member above the largest of three controls: 1 - P(none) = 1 - 3/6
    assert (found.count, found.order, found.threshold) == (1, 1, 5.0)
    assert found.expected == pytest.approx(3 / 4)
    assert found.p_value == pytest.approx(1 / 2)


def test_exceedance_takes_the_tenth_of_a_thousand_controls() -> None:
    controls = np.arange(1000.0)
    assert exceedance(controls, controls).order == 10
    assert exceedance(controls, controls).threshold == 990.0


def test_exceedance_keeps_its_level_where_a_plain_binomial_does_not() -> None:
    rng = np.random.default_rng(8)
    level, rounds = 0.025, 600
    found = [exceedance(rng.uniform(size=5000), rng.uniform(size=1000)) for _ in range(rounds)]
    ours = np.mean([f.p_value <= level for f in found])
    plain = np.mean([stats.binom.sf(f.count - 1, 5000, 0.01) <= level for f in found])
    assert ours <= level + 2 * np.sqrt(level * (1 - level) / rounds)
    assert plain > 3 * level


def test_the_dataset_p_is_corrected_for_two_tests() -> None:
    rng = np.random.default_rng(1)
    test = dataset_test(rng.normal(size=200) + 0.2, rng.normal(size=200), rounds=999)
    assert test.p_value == 2 * min(test.mann_whitney_p, test.exceedance.p_value)
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
    assert excess_interval(members, controls[::-1]) == found


def test_auc_counts_ties_half() -> None:
    assert auc(np.array([1.0, 2.0]), np.array([0.0, 1.0])) == (1 + 0.5 + 1 + 1) / 4


def test_the_auc_interval_is_that_of_direct_resampling() -> None:
    rng = np.random.default_rng(4)
    members, controls = np.round(rng.normal(size=(2, 60)), 1)
    found = bootstrap_auc(members + 0.5, controls, rounds=2000)
    again = [auc(rng.choice(members + 0.5, 60), rng.choice(controls, 60)) for _ in range(2000)]
    assert found.estimate == auc(members + 0.5, controls)
    assert (found.low, found.high) == pytest.approx(np.quantile(again, [0.025, 0.975]), abs=0.02)


def test_the_auc_interval_ignores_row_order() -> None:
    members, controls = np.random.default_rng(4).normal(size=(2, 60))
    reverse = bootstrap_auc(members[::-1], controls[::-1], rounds=50)
    assert bootstrap_auc(members, controls, rounds=50) == reverse


def test_share_above_counts_members_over_the_control_quantile() -> None:
    controls = np.arange(1.0, 101.0)
    assert share_above(np.array([98.0, 99.0, 100.0, 100.5]), controls, 0.99) == 0.25

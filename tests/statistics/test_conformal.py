from __future__ import annotations

import time

import numpy as np
import pytest
from scipy import stats

from memaudit.errors import InputError
from memaudit.statistics.conformal import (
    benjamini_hochberg,
    conformal_p,
    controls_needed,
    smallest_count,
)


def test_p_counts_the_controls_at_or_above() -> None:
    p = conformal_p(np.array([0.0, 2.0, 2.5, 9.0]), np.array([3.0, 1.0, 2.0]))
    np.testing.assert_allclose(p, [4 / 4, 3 / 4, 2 / 4, 1 / 4])


def test_differences_below_the_rounding_are_ties() -> None:
    assert conformal_p(np.array([1.0 + 2e-6]), np.array([1.0])) == [1.0]
    assert conformal_p(np.array([1.0 + 2e-5]), np.array([1.0])) == [0.5]


def test_nan_scores_are_refused() -> None:
    with pytest.raises(InputError, match="1 of 2 scores are NaN"):
        conformal_p(np.array([np.nan, 1.0]), np.array([0.0]))


def test_p_is_uniform_if_members_and_controls_are_exchangeable() -> None:
    rng = np.random.default_rng(11)
    m = 199
    ranks = np.concatenate(
        [conformal_p(scores[:1], scores[1:]) for scores in rng.normal(size=(2000, m + 1))]
    ) * (m + 1)
    # spread each rank over its cell, for the test supposes no ties
    assert stats.kstest((ranks - rng.uniform(size=2000)) / (m + 1), "uniform").pvalue > 0.01


def test_bh_rarely_flags_anything_without_memorization() -> None:
    rng = np.random.default_rng(5)
    scores = rng.normal(size=(2000, 200))
    flags = [benjamini_hochberg(conformal_p(s[:100], s[100:])).min() <= 0.05 for s in scores]
    assert np.mean(flags) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 2000)


def test_q_values_by_hand() -> None:
    q = benjamini_hochberg(np.array([0.5, 0.01, 0.02, 0.03]))
    np.testing.assert_allclose(q, [0.5, 0.04, 0.04, 0.04])


def test_no_p_values_have_no_q_values() -> None:
    assert benjamini_hochberg(np.zeros(0)).shape == (0,)


@pytest.mark.parametrize("members", [7, 20, 50])
@pytest.mark.parametrize("controls", [0, 19, 39, 150, 999])
@pytest.mark.parametrize("q", [0.05, 0.1])
def test_reach_is_what_brute_force_finds(members: int, controls: int, q: float) -> None:
    best = 1 / (controls + 1)
    tables = ([best] * k + [1.0] * (members - k) for k in range(1, members + 1))
    flagged = [np.count_nonzero(benjamini_hochberg(np.array(p)) <= q) for p in tables]
    found = [k for k in flagged if k > 0]
    if found:
        assert smallest_count(members, controls, q) == min(found)
    else:
        assert smallest_count(members, controls, q) > members


def test_the_smallest_count_of_a_thousand_members_and_controls_is_twenty() -> None:
    assert smallest_count(1000, 1000, 0.05) == 20


@pytest.mark.parametrize("k", [1, 2, 20])
def test_controls_needed_inverts_reach(k: int) -> None:
    needed = controls_needed(1000, k, 0.05)
    assert smallest_count(1000, needed, 0.05) == k
    assert smallest_count(1000, needed - 1, 0.05) > k


def test_a_hundred_thousand_a_side_take_under_two_seconds() -> None:
    scores = np.random.default_rng(0).normal(size=(2, 100_000))
    start = time.perf_counter()
    q = benjamini_hochberg(conformal_p(scores[0], scores[1]))
    assert time.perf_counter() - start < 2
    assert q.min() > 0.05

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize, stats

from memaudit.errors import InputError
from memaudit.statistics.conformal import benjamini_hochberg, conformal_p
from memaudit.statistics.sample import Sample
from memaudit.statistics.tail import Tail, extrapolated_p

Scores = NDArray[np.float64]
FLOOR = 1 / (10 * 1001)
NULLS: dict[str, Callable[[np.random.Generator], Scores]] = {
    "normal": lambda rng: rng.normal(size=(2, 1000)),
    "bounded": lambda rng: rng.beta(8, 2, size=(2, 1000)),
    "heavy": lambda rng: rng.standard_t(3, size=(2, 1000)),
    "cauchy": lambda rng: rng.standard_cauchy(size=(2, 1000)),
    "few outliers": lambda rng: (
        rng.normal(size=(2, 1000)) + 8 * (rng.uniform(size=(2, 1000)) < 3e-3)
    ),
}


def extrapolated(members: Scores, controls: Scores, seed: int = 0) -> tuple[Scores, Tail]:
    return extrapolated_p(Sample.of(members), Sample.of(controls), seed)


def fitted(controls: Scores) -> Scores:
    """The half of the controls that a tail is fitted to."""
    sample = Sample.of(controls)
    return sample.values[sample.first_half(0)]


def test_the_bound_covers_the_true_p_of_an_exponential_tail_and_is_not_far_above_it() -> None:
    score, truth = np.array([8.0]), np.exp(-8.0)  # a third of what ranks among 1,000 reach
    rng = np.random.default_rng(1)
    p = [extrapolated(score, rng.exponential(size=1000), seed)[0][0] for seed in range(300)]
    assert np.mean(np.array(p) >= truth) >= 0.95 - 2 * np.sqrt(0.05 * 0.95 / 300)
    assert np.median(p) < 10 * truth


def test_the_fit_is_that_of_maximum_likelihood_with_a_shape_of_at_least_zero() -> None:
    for seed, heavy in enumerate((True, True, False)):
        rng = np.random.default_rng(seed)
        controls = rng.standard_t(3, size=2000) if heavy else rng.uniform(size=2000)
        tail = extrapolated(np.zeros(1), controls)[1]
        above = fitted(controls) - tail.threshold
        excess = above[above > 0]
        shape, scale = largest_likelihood(excess)
        assert tail.exceedances == len(excess) == 100
        assert (tail.shape, tail.scale) == pytest.approx((shape, scale), abs=0.03)


def largest_likelihood(excess: Scores) -> tuple[float, float]:
    def loss(x: Scores) -> float:
        return -float(stats.genpareto.logpdf(excess, x[0], scale=np.exp(x[1])).sum())

    start = np.array([0.1, np.log(excess.mean())])
    best = optimize.minimize(loss, start, bounds=[(0, 2), (None, None)], method="Nelder-Mead")
    return float(best.x[0]), float(np.exp(best.x[1]))


def test_six_members_far_above_a_thousand_controls_are_flagged_where_ranks_reach_twenty() -> None:
    rng = np.random.default_rng(0)
    members, controls = rng.normal(size=(2, 1000))
    members[:6] = 12.0
    p, tail = extrapolated(members, controls)
    assert tail.usable
    assert np.flatnonzero(benjamini_hochberg(p) <= 0.05).tolist() == [*range(6)]
    assert benjamini_hochberg(conformal_p(members, controls)).min() > 0.05


@pytest.mark.parametrize("name", NULLS)
def test_scans_without_memorization_rarely_flag_anything(name: str) -> None:
    rng, rounds = np.random.default_rng(5), 150
    alarms = 0
    for seed in range(rounds):
        members, controls = NULLS[name](rng)
        alarms += benjamini_hochberg(extrapolated(members, controls, seed)[0]).min() <= 0.05
    assert alarms / rounds <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / rounds)


def test_a_bounded_score_beyond_its_end_point_has_no_p_of_zero_as_a_free_shape_has() -> None:
    controls = np.random.default_rng(1).uniform(size=1000)
    (p, *_), tail = extrapolated(np.array([1.1, 0.5]), controls)
    excess = controls[controls > tail.threshold] - tail.threshold
    shape, _, scale = stats.genpareto.fit(excess, floc=0)
    assert stats.genpareto.sf(1.1 - tail.threshold, shape, scale=scale) == 0
    assert tail.shape == 0
    assert p > 5 * FLOOR


def test_no_p_is_below_the_floor_or_above_the_conformal_p() -> None:
    members = np.linspace(-3, 50, 500)
    controls = np.random.default_rng(2).normal(size=1000)
    p, _ = extrapolated(members, controls)
    assert p.min() == p[-1] == pytest.approx(FLOOR)
    assert (p <= conformal_p(members, controls)).all()


@pytest.mark.parametrize("name", NULLS)
def test_a_higher_score_never_has_a_higher_p(name: str) -> None:
    controls = NULLS[name](np.random.default_rng(3))[1]
    members = np.linspace(controls.min(), 1.5 * controls.max(), 5000)
    assert (np.diff(extrapolated(members, controls)[0]) <= 0).all()


def test_members_at_or_below_the_threshold_keep_their_conformal_p() -> None:
    members, controls = np.random.default_rng(4).normal(size=(2, 1000))
    p, tail = extrapolated(members, controls)
    below = members <= tail.threshold
    assert 800 < below.sum() < 1000
    np.testing.assert_array_equal(p[below], conformal_p(members, controls)[below])


def test_the_order_of_the_rows_changes_no_bit() -> None:
    members, controls = np.random.default_rng(6).normal(size=(2, 1000)) + 1
    p, tail = extrapolated(members, controls)
    ids = [str(number) for number in range(1000)]
    turned = Sample.of(controls[::-1], ids[::-1])
    reverse, same = extrapolated_p(Sample.of(members[::-1], ids[::-1]), turned)
    np.testing.assert_array_equal(p, reverse[::-1])
    assert tail == same


@pytest.mark.parametrize(
    ("controls", "reason"),
    [
        (np.zeros(0), "too few controls"),
        (np.arange(398.0), "too few controls"),
        (np.ones(1000), "too many ties"),
        (np.arange(1000) % 7.0, "too many ties"),
        (np.linspace(1e-3, 1, 1000) ** -3.0, "scatter too widely"),
    ],
)
def test_without_a_usable_tail_the_conformal_p_is_returned(controls: Scores, reason: str) -> None:
    members = np.array([0.5, 3.0, 1e9])
    p, tail = extrapolated(members, controls)
    assert not tail.usable
    assert reason in tail.reason
    np.testing.assert_array_equal(p, conformal_p(members, controls))


def test_a_tail_that_would_flag_the_other_half_of_the_controls_is_refused() -> None:
    controls = np.random.default_rng(7).normal(size=1000)
    controls[np.argsort(controls)[-3:]] = [40.0, 41.0, 42.0]
    tails = [extrapolated(np.array([50.0]), controls, seed)[1] for seed in range(30)]
    refused = [tail for tail in tails if not tail.usable]
    assert refused  # the splits with all three in the half that was not fitted
    assert {tail.reason for tail in refused} == {"the fit fails on the other half"}
    assert all(tail.check_p <= 0.05 for tail in refused)


def test_the_check_seldom_refuses_a_tail_that_is_one() -> None:
    rng = np.random.default_rng(8)
    tails = [extrapolated(np.zeros(1), rng.pareto(2, size=600))[1] for _ in range(100)]
    assert np.mean([tail.usable for tail in tails]) >= 0.95


def test_rounded_scores_with_some_ties_are_fitted() -> None:
    controls = np.random.default_rng(9).normal(size=1000).round(2)
    assert extrapolated(controls, controls)[1].usable


def test_the_tail_is_json_and_no_members_have_no_p() -> None:
    for size in (10, 1000):
        p, tail = extrapolated(np.zeros(0), np.random.default_rng(0).normal(size=size))
        assert p.shape == (0,)
        assert json.loads(json.dumps(asdict(tail), allow_nan=False))[
            "exceedances"
        ] == size // 20 * (size > 100)


def test_nan_scores_are_refused() -> None:
    with pytest.raises(InputError, match="1 of 1 scores are NaN"):
        extrapolated(np.array([np.nan]), np.arange(1000.0))


def test_a_rare_kind_of_picture_without_a_control_is_seldom_flagged() -> None:
    """Far above the rest lie .2 % of all: in one division of eight no control is among them."""
    rng = np.random.default_rng(10)
    flagged, rounds = 0, 400
    for seed in range(rounds):
        far = rng.uniform(size=2000) < 2e-3
        pool = rng.normal(size=2000) + 8 * far
        p, _ = extrapolated(pool[:1000], pool[1000:], seed)
        flagged += benjamini_hochberg(p).min() <= 0.05
    assert flagged / rounds <= 0.05

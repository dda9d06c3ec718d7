from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from memaudit.errors import InputError
from memaudit.statistics.effects import excess_interval
from memaudit.statistics.roc import RocPoint, roc_points
from memaudit.statistics.sample import Sample


def points_of(
    members: NDArray[np.float64],
    controls: NDArray[np.float64],
    levels: Sequence[float] = (0.01, 0.001),
    seed: int = 0,
) -> tuple[RocPoint, ...]:
    return roc_points(Sample.of(members), Sample.of(controls), levels, seed)


def test_a_point_by_hand() -> None:
    members = np.array([2.0] * 3 + [0.0] * 7)
    (point,) = points_of(members, np.ones(400))
    assert (point.fpr, point.threshold, point.tpr, point.realised_fpr) == (0.01, 1.0, 0.3, 0.0)
    assert (point.members, point.controls) == (10, 200)
    interval = stats.binomtest(3, 10).proportion_ci(0.95)
    assert (point.tpr_low, point.tpr_high) == pytest.approx((interval.low, interval.high))


def test_no_hits_are_bounded_by_three_over_n() -> None:
    (point,) = points_of(np.zeros(5), np.ones(400))
    assert point.realised_fpr == 0
    assert point.realised_fpr_high == pytest.approx(3 / 200, rel=0.01)


@pytest.mark.parametrize(
    ("controls", "levels"),
    [(0, []), (196, []), (198, [0.01]), (1996, [0.01]), (1998, [0.01, 0.001])],
)
def test_levels_that_the_controls_cannot_resolve_are_left_out(
    controls: int, levels: list[float]
) -> None:
    points = points_of(np.zeros(5), np.arange(float(controls)))
    assert [point.fpr for point in points] == levels


def test_the_realised_rate_is_on_average_the_one_asked_for() -> None:
    rng = np.random.default_rng(0)
    points = [points_of(np.zeros(1), rng.normal(size=2000), (0.01,), s)[0] for s in range(300)]
    rates = np.array([point.realised_fpr for point in points])
    assert rates.mean() == pytest.approx(0.01, abs=3 * rates.std() / np.sqrt(300))
    assert rates.std() > 0.003  # which is why it is reported beside the rate asked for


def test_the_bound_of_the_realised_rate_covers_the_true_rate() -> None:
    rng = np.random.default_rng(1)
    points = [points_of(np.zeros(1), rng.normal(size=600), (0.01,), s)[0] for s in range(300)]
    covered = [point.realised_fpr_high >= stats.norm.sf(point.threshold) for point in points]
    assert np.mean(covered) >= 0.95 - 2 * np.sqrt(0.05 * 0.95 / 300)


def test_the_threshold_is_that_of_the_excess_whatever_the_order_of_the_rows() -> None:
    ids = [str(number) for number in range(500)]
    values = np.random.default_rng(2).normal(size=(2, 500))
    members, controls = (Sample.of(side, ids) for side in values)
    (point,) = roc_points(members, controls)
    excess = excess_interval(members, controls)
    assert (point.threshold, point.tpr) == (excess.threshold, excess.member_share)
    assert point.realised_fpr == excess.control_share
    turned = [Sample.of(side[::-1], ids[::-1]) for side in values]
    assert roc_points(*turned) == (point,)


def test_points_are_json() -> None:
    points = points_of(np.arange(9), np.arange(3000.0))
    assert len(json.loads(json.dumps([asdict(point) for point in points], allow_nan=False))) == 2


def test_no_members_are_refused() -> None:
    with pytest.raises(InputError, match="found no members"):
        points_of(np.zeros(0), np.zeros(500))

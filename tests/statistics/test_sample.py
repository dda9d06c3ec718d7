"""Clusters and halves of a side."""

from __future__ import annotations

import numpy as np
import pytest

from memaudit.errors import InputError
from memaudit.statistics.conformal import conformal_p
from memaudit.statistics.dataset import dataset_test
from memaudit.statistics.effects import auc_interval, excess_interval
from memaudit.statistics.roc import roc_points
from memaudit.statistics.sample import Sample


def test_halves_depend_on_ids_and_seed_and_on_no_score() -> None:
    ids = [f"{number:03}" for number in range(101)]
    first = Sample.of(np.arange(101.0), ids).first_half(0)
    assert first.sum() == 51
    np.testing.assert_array_equal(first, Sample.of(-np.arange(101.0), ids).first_half(0))
    np.testing.assert_array_equal(first[::-1], Sample.of(np.zeros(101), ids[::-1]).first_half(0))
    assert (first != Sample.of(np.zeros(101), ids).first_half(1)).any()


def test_two_sets_of_controls_are_cut_at_other_ranks() -> None:
    """Cut by rank, the realised rate would be one constant of the size and the seed."""
    rng = np.random.default_rng(0)
    rates = set()
    for number in range(20):
        ids = [f"{number}-{k}" for k in range(400)]
        controls = Sample.of(rng.normal(size=400), ids)
        (point,) = roc_points(Sample.of(np.zeros(1)), controls, (0.01,))
        rates.add(point.realised_fpr)
    assert len(rates) > 3


def test_the_images_of_a_cluster_share_its_weight() -> None:
    sample = Sample.of([1.0, 5.0, 3.0, 4.0], list("abcd"), ["x", "", "x", ""])
    assert sample.units == 3
    assert sorted(sample.weights.tolist()) == [0.5, 0.5, 1.0, 1.0]
    assert sorted(sample.mean(sample.values).tolist()) == [2.0, 4.0, 5.0]
    assert sorted(sample.highest().tolist()) == [3.0, 4.0, 5.0]
    assert sample.one_each().ids == ("a", "b", "d")
    assert sample.one_each().units == 3


def test_the_halves_keep_clusters_whole() -> None:
    clusters = [str(number // 5) for number in range(100)]
    sample = Sample.of(np.zeros(100), [f"{k:03}" for k in range(100)], clusters)
    halves = sample.first_half(3).reshape(20, 5)
    assert (halves == halves[:, :1]).all()
    assert halves[:, 0].sum() == 10


def test_clusters_of_one_image_change_nothing() -> None:
    rng = np.random.default_rng(1)
    values, ids = rng.normal(size=(2, 60)), [f"{k:02}" for k in range(60)]
    plain = [Sample.of(side, ids) for side in values]
    alone = [Sample.of(side, ids, [f"of {name}" for name in ids]) for side in values]
    assert dataset_test(*plain, 199) == dataset_test(*alone, 199)
    assert auc_interval(*plain) == auc_interval(*alone)
    np.testing.assert_array_equal(
        conformal_p(plain[0].values, plain[1].values),
        conformal_p(alone[0].values, alone[1].values, alone[1].weights),
    )


def test_the_p_of_a_cluster_by_hand() -> None:
    # clusters {1, 3} and {2}: of the first half is at or above 2.5, of the second nothing
    p = conformal_p(np.array([2.5, 0.0]), np.array([1.0, 3.0, 2.0]), np.array([0.5, 0.5, 1.0]))
    assert p.tolist() == [1.5 / 3, 1.0]


def test_copying_the_images_of_clusters_changes_no_test() -> None:
    rng = np.random.default_rng(2)
    sides, repeated = [], []
    for side in rng.normal(size=(2, 45)):
        ids = [f"{k:02}" for k in range(45)]
        sides.append(Sample.of(side, ids))
        twice = [f"{name}-{copy}" for name in ids for copy in range(3)]
        repeated.append(Sample.of(np.repeat(side, 3), twice, [name[:2] for name in twice]))
    once, thrice = (dataset_test(*both, 499) for both in (sides, repeated))
    assert once.tail == thrice.tail
    assert once.mann_whitney_p == pytest.approx(thrice.mann_whitney_p, abs=0.05)
    assert auc_interval(*sides).low == pytest.approx(auc_interval(*repeated).low)
    few = [excess_interval(*both) for both in (sides, repeated)]
    assert few[0].high == pytest.approx(few[1].high, abs=0.3)


def test_nan_is_refused() -> None:
    with pytest.raises(InputError, match="1 of 2 scores are NaN"):
        Sample.of([np.nan, 0.0])

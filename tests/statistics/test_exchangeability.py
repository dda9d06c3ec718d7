"""What pictures tell of a score, and whether the sides differ in it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from memaudit.statistics.conformal import benjamini_hochberg, conformal_p
from memaudit.statistics.dataset import dataset_test
from memaudit.statistics.entities import Sides
from memaudit.statistics.exchangeability.check import can_be_tested, exchangeability
from memaudit.statistics.exchangeability.encoding import encode, encode_captions, features
from memaudit.statistics.exchangeability.expected import Expected, expect

D = 12
Values = NDArray[np.float64]


def sides_of(n: int, m: int) -> Sides:
    ids = [f"{k:05}" for k in range(n + m)]
    return Sides(tuple(ids[:n]), tuple(ids[n:]))


def predicted(matrix: Values, score: Values, n: int, seed: int = 0) -> tuple[Expected, Sides]:
    sides = sides_of(n, len(score) - n)
    ids = pd.Index([*sides.members, *sides.controls])
    table = pd.DataFrame(encode(pd.DataFrame(matrix)), index=ids)
    return expect(pd.DataFrame({"clean image": score}, ids), table, sides, seed), sides


def evidence(score: Values, n: int) -> bool:
    sides = sides_of(n, len(score) - n)
    both = sides.compare(pd.Series(score, [*sides.members, *sides.controls]))
    q = benjamini_hochberg(conformal_p(both.members.values, both.controls.values)).min()
    return min(q, dataset_test(both.members, both.controls, 499).p_value) <= 0.025


@pytest.mark.parametrize("kind", ["linear", "spread"])
def test_a_small_shift_that_pictures_show_is_no_evidence(kind: str) -> None:
    """One of the features is shifted, or wider, on the members; nothing is memorized."""
    rng, n = np.random.default_rng(0), 800
    raw, left, alarms = [], [], []
    for _ in range(12):
        matrix = rng.normal(size=(2 * n, D))
        if kind == "linear":
            matrix[:n, 0] += 0.25
            told = matrix[:, 0]
        else:
            matrix[:n, 0] *= 1.2
            told = (matrix[:, 0] ** 2 - 1) / np.sqrt(2)
        score = 0.5 * told + np.sqrt(0.75) * rng.normal(size=2 * n)
        found, sides = predicted(matrix, score, n)
        alarms.append(exchangeability(found, shown(sides), sides, 499, 0).alarm)
        raw.append(evidence(score, n))
        left.append(evidence(score - found.by_controls["clean image"].to_numpy(), n))
    assert np.mean(raw) > 0.4
    assert np.mean(left) < 0.3
    assert np.mean(np.array(raw) & np.array(left) & ~np.array(alarms)) <= 0.1


def shown(sides: Sides) -> pd.DataFrame:
    """No property that could be named."""
    return pd.DataFrame(index=[*sides.members, *sides.controls])


def test_a_fair_division_raises_no_alarm() -> None:
    rng, alarms = np.random.default_rng(1), 0
    for _ in range(30):
        matrix = rng.normal(size=(600, D))
        score = matrix[:, 0] + rng.normal(size=600)
        found, sides = predicted(matrix, score, 300)
        alarms += exchangeability(found, shown(sides), sides, 499, 0).alarm
    assert alarms <= 2


@pytest.mark.parametrize(("n", "m"), [(500, 500), (1000, 200)])
def test_a_memorized_kind_of_picture_is_not_predicted_away(n: int, m: int) -> None:
    rng = np.random.default_rng(2)
    matrix = rng.normal(size=(n + m, D))
    kind = rng.random(n + m) < 0.3
    matrix[kind, :3] += 2.5
    score = rng.normal(size=n + m)
    score[:n][kind[:n]] += 6
    found, _ = predicted(matrix, score, n)
    left = score - found.by_controls["clean image"].to_numpy()
    flags = [benjamini_hochberg(conformal_p(one[:n], one[n:])) <= 0.05 for one in (score, left)]
    assert flags[0][kind[:n]].mean() > 0.9
    assert (flags[0] & flags[1]).sum() >= 0.9 * flags[0].sum()


def test_pictures_that_tell_nothing_change_next_to_nothing() -> None:
    rng = np.random.default_rng(3)
    found, _ = predicted(rng.normal(size=(400, D)), rng.normal(size=400), 200)
    assert found.explained is not None
    assert found.explained < 0.05
    assert found.by_controls.to_numpy().std() < 0.2


def test_one_absurd_score_rules_no_prediction() -> None:
    rng = np.random.default_rng(4)
    matrix = rng.normal(size=(400, D))
    score = matrix[:, 0] + 0.5 * rng.normal(size=400)
    plain, _ = predicted(matrix, score, 200)
    score[-1] = 1e6
    absurd, _ = predicted(matrix, score, 200)
    both = plain.by_controls["clean image"], absurd.by_controls["clean image"]
    assert np.corrcoef(*both)[0, 1] > 0.95


def test_without_features_or_with_few_controls_nothing_is_predicted() -> None:
    rng = np.random.default_rng(5)
    for matrix, n in ((rng.normal(size=(60, D)), 40), (np.zeros((200, 1)), 100)):
        found, _ = predicted(matrix, rng.normal(size=len(matrix)), n)
        assert not found.by_controls.to_numpy().any()


def test_a_picture_is_predicted_by_others_only() -> None:
    """Its own score has no part in what is expected of it."""
    rng = np.random.default_rng(6)
    matrix = rng.normal(size=(300, D))
    score = matrix[:, 0] + rng.normal(size=300)
    before, _ = predicted(matrix, score, 150)
    score[:150] += 3 * rng.random(150)  # members have no part in a fit to controls
    after, _ = predicted(matrix, score, 150)
    pd.testing.assert_frame_equal(before.by_controls, after.by_controls)


@pytest.mark.parametrize(
    ("members", "controls", "possible"),
    [(1, 100, False), (1, 199, True), (2, 20, True), (2, 18, False), (12, 500, True), (5, 5, True)],
)
def test_a_side_can_be_too_small_for_a_test(members: int, controls: int, possible: bool) -> None:
    assert can_be_tested(members, controls) is possible


def test_captions_become_few_numbers() -> None:
    rng = np.random.default_rng(7)
    words = [f"word{k}" for k in range(40)]
    texts = pd.Series([" ".join(rng.choice(words, 6)) for _ in range(80)])
    told = encode_captions(texts)
    assert told.shape[0] == 80
    assert told.shape[1] <= 20
    assert encode_captions(pd.Series(["a", "b", "c"])).shape[0] == 3


def test_features_are_those_of_the_representatives() -> None:
    pool = pd.DataFrame(
        {
            "example_id": ["a", "b", "b"],
            "representative": [True, True, False],
            "prompt": ["one", "two", "two"],
            "width": [10, 20, 20],
            "look_00": [0.1, 0.2, 0.2],
        }
    )
    assert list(features(pool, ["width"], captions=False).index) == ["a", "b"]
    assert features(pool.drop(columns=["width", "look_00"]), ["width"], captions=False).empty

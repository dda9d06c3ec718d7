from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scored import keys, primary

from memaudit.attacks.reconstruction import ODE, ONE_STEP
from memaudit.records import CLEAN, FULL
from memaudit.statistics.levels import Level
from memaudit.statistics.power import Memorized, graded, measure_power, worth

SIGMAS = (0.5, 1.0, 2.0)
MEMBERS, CONTROLS = 60, 140
MARGIN, ALL = primary("margin"), Memorized(candidates=60, members=60)
LEVELS = tuple(
    Level(
        attack=ODE,
        input=CLEAN,
        phase=FULL,
        level=sigma,
        snr_db=-20 * np.log10(sigma),
        members=MEMBERS,
        controls=CONTROLS,
        own_similarity_members=0.9,
        own_similarity_controls=own,
        auc=0.5,
        share_above=0.01,
        rank1_members=0.5,
        rank1_controls=0.5,
        copies_controls=easy,
    )
    for sigma, own, easy in zip(SIGMAS, (0.9, 0.4, 0.2), (0.8, 0.1, 0.0), strict=True)
)


@pytest.fixture
def scores() -> pd.DataFrame:
    """A memorizer that stands out at the first two levels and not at the last."""
    ids = [f"{k:03}" for k in range(MEMBERS + CONTROLS)]
    rows = keys(ids, SIGMAS)
    rng = np.random.default_rng(0)
    found = (rows["example_id"] < f"{MEMBERS:03}") & (rows["level"] < 2)
    return rows.assign(
        margin=rng.normal(0, 0.1, len(rows)) + found,
        own_similarity=0.3 + 0.6 * found,
        snr_db=-20 * np.log10(rows["level"]),
    )


def members() -> np.ndarray:
    return np.arange(MEMBERS + CONTROLS) < MEMBERS


def test_power_is_the_share_of_the_memorizers_images_found(scores: pd.DataFrame) -> None:
    power = measure_power(scores, members(), (MARGIN,), ALL)
    assert power.share == 1.0
    assert power.low == pytest.approx(0.025 ** (1 / 60))  # Clopper and Pearson, 60 of 60
    assert (power.members, power.controls, power.candidates, power.of) == (60, 140, 60, 60)
    assert [level.share for level in power.levels[:2]] == [1.0, 1.0]
    assert power.levels[2].share < 0.1
    assert [level.controls_own_similarity for level in power.levels] == [0.3] * 3


def test_each_level_is_graded(scores: pd.DataFrame) -> None:
    power = measure_power(scores, members(), (MARGIN,), ALL)
    levels = graded(LEVELS, power)
    assert [level.grade for level in levels] == ["too easy", "informative", "no power"]
    assert levels[0].power == 1.0
    assert worth(levels, ODE) == pytest.approx(0.2 + 0.9)
    unlike = tuple(replace(level, copies_controls=None) for level in LEVELS)
    graded_so = [level.grade for level in graded(unlike, power)]
    assert graded_so == ["informative", "informative", "no power"]


def test_a_level_loses_its_worth_gradually_as_held_out_images_come_back(
    scores: pd.DataFrame,
) -> None:
    power = measure_power(scores, members(), (MARGIN,), ALL)
    found = []
    for easy in np.linspace(0, 1, 21):
        (level, *_) = graded((replace(LEVELS[1], copies_controls=easy),), power)
        found.append((level.grade, worth((level,), ODE)))
    assert list(dict.fromkeys(grade for grade, _ in found)) == [
        "informative",
        "partly easy",
        "too easy",
    ]
    assert np.diff([value for _, value in found]) == pytest.approx(np.full(20, -0.05))


def test_other_attacks_are_not_graded(scores: pd.DataFrame) -> None:
    power = measure_power(scores, members(), (MARGIN,), ALL)
    others = tuple(replace(level, attack=ONE_STEP) for level in LEVELS)
    assert graded(others, power) == others

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from memaudit.statistics import (
    SCREENS,
    agreement,
    combine,
    pooled_score,
    promoted,
    screening_order,
)

IDS = [f"{k:03}" for k in range(200)]
SIGMAS = (0.5, 1.0, 2.0)
ONE_STEP = SCREENS[0]


def table(strength: np.ndarray, name: str, draws: int = 1, seed: int = 0) -> pd.DataFrame:
    """Scores whose margin is the strength of the example, and noise."""
    rng = np.random.default_rng(seed)
    keys = pd.MultiIndex.from_product(
        [IDS[: len(strength)], [name], SIGMAS, range(draws)],
        names=["example_id", "reconstruction", "sigma", "draw"],
    ).to_frame(index=False)
    of_row = keys["example_id"].map(dict(zip(IDS, strength, strict=False)))
    return keys.assign(margin=of_row + rng.normal(0, 0.1, len(keys)))


@pytest.fixture
def adaptive() -> pd.DataFrame:
    """A first pass over 200, the 20 highest and 5 random ones in full."""
    strength = np.random.default_rng(1).normal(size=200)
    screen = table(strength, ONE_STEP)
    chosen = {*screening_order(screen)[:20], *IDS[:5]}
    full = table(strength, "ode", draws=2, seed=2)
    return pd.concat([screen, full[full["example_id"].isin(chosen)]], ignore_index=True)


def test_promoted_are_the_top_of_the_first_pass(adaptive: pd.DataFrame) -> None:
    screen = adaptive[adaptive["reconstruction"] == ONE_STEP]
    assert promoted(adaptive) == screening_order(screen)[:20]


def test_promoted_stand_above_all_others_and_keep_their_full_order(adaptive: pd.DataFrame) -> None:
    score, top = pooled_score(adaptive), promoted(adaptive)
    assert score[top].min() > score.drop(top).max()
    full = adaptive[(adaptive["reconstruction"] == "ode") & adaptive["example_id"].isin(top)]
    expected = combine(full).sort_values().index
    assert score[top].sort_values().index.equals(expected)


def test_a_sampled_image_that_was_not_promoted_keeps_its_first_score(
    adaptive: pd.DataFrame,
) -> None:
    score = pooled_score(adaptive)
    screen = combine(adaptive[adaptive["reconstruction"] == ONE_STEP], reconstruction=ONE_STEP)
    others = score.drop(promoted(adaptive)).index
    pd.testing.assert_series_equal(score[others], screen[others])


def test_without_a_first_pass_the_score_is_the_combination() -> None:
    full = table(np.random.default_rng(1).normal(size=50), "ode", draws=2)
    pd.testing.assert_series_equal(pooled_score(full), combine(full))
    assert promoted(full) == IDS[:50]


def test_the_score_does_not_depend_on_the_order_of_the_rows(adaptive: pd.DataFrame) -> None:
    shuffled = adaptive.sample(frac=1, random_state=3)
    pd.testing.assert_series_equal(pooled_score(shuffled), pooled_score(adaptive))


def test_agreement_is_high_where_both_passes_see_the_same_and_nil_where_they_do_not() -> None:
    rng = np.random.default_rng(4)
    strength, other = rng.normal(size=(2, 100))
    screen = table(strength, ONE_STEP)
    assert agreement(screen, table(strength, "ode", seed=5)) > 0.95
    assert abs(agreement(screen, table(other, "ode", seed=5))) < 0.3
    assert agreement(screen, table(np.zeros(100), "ode").assign(margin=1.0)) == 0

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scored import keys, primary

from memaudit.attacks.reconstruction import ODE, ONE_STEP
from memaudit.records import FULL, SCREEN, Phase
from memaudit.statistics.adaptive import agreement, pooled_score, promoted, screening_order
from memaudit.statistics.combine import combine
from memaudit.statistics.probes import first_pass

IDS = [f"{k:03}" for k in range(200)]
SIGMAS = (0.5, 1.0, 2.0)
MARGIN = primary("margin")


def table(
    strength: np.ndarray, attack: str, phase: Phase = FULL, draws: int = 1, seed: int = 0
) -> pd.DataFrame:
    """Scores whose margin is the strength of the example, and noise."""
    rng = np.random.default_rng(seed)
    rows = keys(IDS[: len(strength)], SIGMAS, draws, attack=attack, phase=phase)
    of_row = rows["example_id"].map(dict(zip(IDS, strength, strict=False)))
    return rows.assign(margin=of_row + rng.normal(0, 0.1, len(rows)))


@pytest.fixture(params=[ONE_STEP, ODE])
def adaptive(request: pytest.FixtureRequest) -> pd.DataFrame:
    """A first pass over 200, by either attack, and the 20 highest and 5 random ones in full."""
    strength = np.random.default_rng(1).normal(size=200)
    screen = table(strength, request.param, SCREEN)
    chosen = {*screening_order(screen, MARGIN)[:20], *IDS[:5]}
    full = table(strength, ODE, draws=2, seed=2)
    return pd.concat([screen, full[full["example_id"].isin(chosen)]], ignore_index=True)


def test_promoted_are_the_top_of_the_first_pass(adaptive: pd.DataFrame) -> None:
    screen = adaptive[first_pass(adaptive)]
    assert promoted(adaptive, MARGIN) == screening_order(screen, MARGIN)[:20]


def test_promoted_stand_above_all_others_and_keep_their_full_order(adaptive: pd.DataFrame) -> None:
    score, top = pooled_score(adaptive, MARGIN), promoted(adaptive, MARGIN)
    assert score[top].min() > score.drop(top).max()
    full = adaptive[(adaptive["phase"] == FULL) & adaptive["example_id"].isin(top)]
    expected = combine(full, MARGIN).sort_values().index
    assert score[top].sort_values().index.equals(expected)


def test_a_sampled_image_that_was_not_promoted_keeps_its_first_score(
    adaptive: pd.DataFrame,
) -> None:
    score = pooled_score(adaptive, MARGIN)
    first = adaptive[first_pass(adaptive)]
    screen = combine(first, primary("margin", attack=first["attack"].iloc[0]), SCREEN)
    others = score.drop(promoted(adaptive, MARGIN)).index
    pd.testing.assert_series_equal(score[others], screen[others])


def test_without_a_first_pass_the_score_is_the_combination() -> None:
    full = table(np.random.default_rng(1).normal(size=50), ODE, draws=2)
    pd.testing.assert_series_equal(pooled_score(full, MARGIN), combine(full, MARGIN))
    assert promoted(full, MARGIN) == IDS[:50]


def test_the_score_does_not_depend_on_the_order_of_the_rows(adaptive: pd.DataFrame) -> None:
    shuffled = adaptive.sample(frac=1, random_state=3)
    pd.testing.assert_series_equal(pooled_score(shuffled, MARGIN), pooled_score(adaptive, MARGIN))


def test_agreement_is_high_where_both_passes_see_the_same_and_nil_where_they_do_not() -> None:
    rng = np.random.default_rng(4)
    strength, other = rng.normal(size=(2, 100))
    screen = table(strength, ONE_STEP, SCREEN)
    assert agreement(screen, table(strength, ODE, seed=5), MARGIN) > 0.95
    assert abs(agreement(screen, table(other, ODE, seed=5), MARGIN)) < 0.3
    assert agreement(screen, table(np.zeros(100), ODE).assign(margin=1.0), MARGIN) == 0

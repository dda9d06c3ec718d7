from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scored import keys, primary

from memaudit.attacks.reconstruction import ODE, ONE_STEP
from memaudit.records import FULL, SCREEN, Phase
from memaudit.statistics.adaptive import (
    claim_scores,
    outstanding,
    pooled_score,
    promoted,
)
from memaudit.statistics.combine import combine, standardise
from memaudit.statistics.levels import per_level
from memaudit.statistics.probes import Probe, first_pass

IDS = [f"{k:03}" for k in range(200)]
SIGMAS = (0.5, 1.0, 2.0)
MARGIN = primary("margin")
MEMBERSHIP = primary("ssim", attack="of membership")
TENTH = 0.1


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
    """A first pass over 200, by either attack, and the 20 highest in full."""
    strength = np.random.default_rng(1).normal(size=200)
    screen = table(strength, request.param, SCREEN)
    chosen = outstanding(screen, (MARGIN,), TENTH)
    full = table(strength, ODE, draws=2, seed=2)
    return pd.concat([screen, full[full["example_id"].isin(chosen)]], ignore_index=True)


def test_promoted_are_the_top_of_the_first_pass(adaptive: pd.DataFrame) -> None:
    screen = adaptive[first_pass(adaptive)]
    by_screen = replace(MARGIN, attack=str(screen["attack"].iloc[0]))
    top = combine(screen, by_screen, SCREEN).sort_values(ascending=False).index[:20]
    assert outstanding(screen, (MARGIN,), TENTH) == list(top)
    assert promoted(adaptive, (MARGIN,)) == list(top)


def test_an_image_in_full_that_did_not_stand_out_keeps_its_first_score() -> None:
    strength = np.random.default_rng(1).normal(size=200)
    screen = table(strength, ONE_STEP, SCREEN)
    order = outstanding(screen, (MARGIN,), 1.0)
    full = table(strength, ODE, draws=2, seed=2)
    both = full[full["example_id"].isin([*order[:20], order[100], order[150]])]
    scores = pd.concat([screen, both], ignore_index=True)
    without = pd.concat([screen, both[both["example_id"].isin(order[:20])]], ignore_index=True)
    assert promoted(scores, (MARGIN,)) == order[:20]
    pd.testing.assert_series_equal(pooled_score(scores, MARGIN), pooled_score(without, MARGIN))


def test_whatever_stands_far_out_is_promoted_however_much_it_is() -> None:
    strength = np.random.default_rng(1).normal(size=200)
    strength[:60] += 50
    screen = table(strength, ONE_STEP, SCREEN)
    assert set(outstanding(screen, (MARGIN,), TENTH)) == set(IDS[:60])


def test_promoted_stand_above_all_others_and_keep_their_full_order(adaptive: pd.DataFrame) -> None:
    score, top = pooled_score(adaptive, MARGIN), promoted(adaptive, (MARGIN,))
    assert score[top].min() > score.drop(top).max()
    full = adaptive[(adaptive["phase"] == FULL) & adaptive["example_id"].isin(top)]
    expected = combine(full, MARGIN).sort_values().index
    assert score[top].sort_values().index.equals(expected)


def test_an_image_that_was_not_promoted_keeps_its_first_score(adaptive: pd.DataFrame) -> None:
    score = pooled_score(adaptive, MARGIN)
    first = adaptive[first_pass(adaptive)]
    screen = combine(first, replace(MARGIN, attack=str(first["attack"].iloc[0])), SCREEN)
    others = score.drop(promoted(adaptive, (MARGIN,))).index
    pd.testing.assert_series_equal(score[others], screen[others])


def test_a_first_pass_of_two_attacks_promotes_by_their_sum_and_ranks_each_claim_by_its_own() -> (
    None
):
    rng = np.random.default_rng(3)
    known, near = rng.normal(size=(2, 200))
    seen = keys(IDS, SIGMAS[:1], 1, attack=MEMBERSHIP.attack, phase=SCREEN)
    seen = seen.assign(ssim=known, margin=np.nan)
    step = keys(IDS, SIGMAS[:1], 1, attack=ONE_STEP, phase=SCREEN).assign(margin=near, ssim=np.nan)
    screen = pd.concat([seen, step], ignore_index=True)
    claims = (MARGIN, MEMBERSHIP)
    chosen = outstanding(screen, claims, TENTH)
    total = standardise(np.stack([known, near], axis=1)).sum(axis=1)
    assert chosen == [IDS[k] for k in np.argsort(-total)[:20]]
    full = table(rng.normal(size=200), ODE, seed=4).assign(ssim=np.nan)
    again = keys(IDS, SIGMAS, 1, attack=MEMBERSHIP.attack)
    again = again.assign(ssim=again["example_id"].map(dict(zip(IDS, known, strict=True))))
    later = [rows[rows["example_id"].isin(chosen)] for rows in (full, again)]
    scores = claim_scores(pd.concat([screen, *later], ignore_index=True), claims)
    for probe, by_first, last, primary_of in (
        (Probe(MEMBERSHIP.attack), known, later[1], MEMBERSHIP),
        (Probe(ODE), near, later[0], MARGIN),
    ):
        order = list(scores[probe].sort_values(ascending=False).index)
        assert order[:20] == list(combine(last, primary_of).sort_values(ascending=False).index)
        assert order[20:] == [IDS[k] for k in np.argsort(-by_first) if IDS[k] not in chosen]


def test_what_was_asked_of_all_images_is_not_staged(adaptive: pd.DataFrame) -> None:
    strength = np.random.default_rng(5).normal(size=200)
    asked = keys(IDS, SIGMAS, 1, attack=MEMBERSHIP.attack)
    asked = asked.assign(ssim=asked["example_id"].map(dict(zip(IDS, strength, strict=True))))
    both = pd.concat([adaptive, asked], ignore_index=True)
    scores = claim_scores(both, (MARGIN, MEMBERSHIP))
    expected = combine(asked, MEMBERSHIP)
    pd.testing.assert_series_equal(scores[Probe(MEMBERSHIP.attack)], expected, check_names=False)
    alone = pooled_score(adaptive, MARGIN)
    pd.testing.assert_series_equal(scores[Probe(ODE)], alone, check_names=False)


def test_without_a_first_pass_the_score_is_the_combination() -> None:
    full = table(np.random.default_rng(1).normal(size=50), ODE, draws=2)
    pd.testing.assert_series_equal(pooled_score(full, MARGIN), combine(full, MARGIN))
    assert promoted(full, (MARGIN,)) == IDS[:50]


def test_the_score_does_not_depend_on_the_order_of_the_rows(adaptive: pd.DataFrame) -> None:
    shuffled = adaptive.sample(frac=1, random_state=3)
    pd.testing.assert_series_equal(pooled_score(shuffled, MARGIN), pooled_score(adaptive, MARGIN))


def test_copies_among_controls_are_counted_for_the_pool() -> None:
    """Ten of 100 controls stood out and come back; of the others ten were drawn, and one does."""
    strength = np.zeros(200)
    strength[100:110] = 50  # the last 100 are controls
    screen = table(strength, ONE_STEP, SCREEN)
    others = [*IDS[110:119], IDS[150]]
    rows = table(strength, ODE).assign(own_rank=1)
    chosen = outstanding(screen, (MARGIN,), 0.001)
    assert sorted(chosen) == IDS[100:110]
    rows = rows[rows["example_id"].isin([*chosen, *others])]
    back = [*chosen, IDS[150]]
    rows["own_similarity"] = np.where(rows["example_id"].isin(back), 0.9, 0.1)
    scores = pd.concat([screen.assign(own_similarity=0.1, own_rank=1), rows], ignore_index=True)
    scores["snr_db"] = 0.0
    pool = pd.DataFrame({"example_id": IDS, "group": range(200), "representative": True})
    pool = pool.assign(
        split=["member"] * 100 + ["control"] * 100, spans=False, cluster="", source="", prompt=""
    )
    levels = per_level(scores, pool.assign(left_out=""), (MARGIN,), copy_threshold=0.75)
    [level, *_] = [one for one in levels if one.phase == FULL]
    assert np.isclose(level.copies_controls, (10 + 0.1 * 90) / 100)

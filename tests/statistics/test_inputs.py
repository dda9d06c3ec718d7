"""Clean images and noisy copies in one score."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scored import keys, primary

from memaudit.attacks.reconstruction import ODE, ONE_STEP
from memaudit.records import CLEAN, COPY, FULL, SCREEN, Input
from memaudit.statistics.adaptive import (
    outstanding,
    pooled_score,
    pooled_scores,
    promoted,
)
from memaudit.statistics.combine import combine, input_scores
from memaudit.statistics.probes import Probe

IDS = [f"{k:03}" for k in range(100)]
SIGMAS = (0.5, 1.0, 2.0)
MARGIN = primary("margin")  # of clean images, and the correlation of copies


def table(of: Input, column: str, seed: int, strong: range = range(0)) -> pd.DataFrame:
    """One input's scores, in which some images stand out."""
    rows = keys(IDS, SIGMAS, of=of)
    chosen = rows["example_id"].isin([IDS[k] for k in strong])
    return rows.assign(**{column: np.random.default_rng(seed).normal(size=len(rows)) + 9 * chosen})


@pytest.fixture
def both() -> pd.DataFrame:
    """Images 0 .. 4 stand out as clean images, 5 .. 9 as noisy copies."""
    clean = table(CLEAN, "margin", 0, range(5))
    copies = table(COPY, "copy_correlation", 1, range(5, 10))
    copies = copies[copies["level"] > 0.7]
    return pd.concat([clean, copies], ignore_index=True)


def test_an_image_stands_out_under_either_input(both: pd.DataFrame) -> None:
    score = combine(both, MARGIN)
    assert set(score.nlargest(10).index) == set(IDS[:10])
    by = pooled_scores(both, MARGIN).idxmax(axis=1)
    assert set(by[IDS[:5]]) == {"clean image"}
    assert set(by[IDS[5:10]]) == {"noisy copy"}


def test_the_score_is_the_larger_of_two_that_are_spread_alike(both: pd.DataFrame) -> None:
    apart = input_scores(both, MARGIN)
    assert list(apart.columns) == ["clean image", "noisy copy"]
    np.testing.assert_allclose(apart.median(), 0, atol=1e-12)
    spread = (apart - apart.median()).abs().median()
    np.testing.assert_allclose(spread, 1 / 1.4826, rtol=1e-9)
    assert combine(both, MARGIN).equals(apart.max(axis=1).rename("score"))


def test_without_noisy_copies_nothing_changes(both: pd.DataFrame) -> None:
    clean = both[both["input"] == CLEAN]
    assert list(input_scores(clean, MARGIN).columns) == ["clean image"]
    alone = pooled_scores(clean, MARGIN)["clean image"]
    assert alone.equals(combine(clean, MARGIN).rename("clean image"))


def test_neither_labels_nor_the_order_of_rows_enter(both: pd.DataFrame) -> None:
    shuffled = both.sample(frac=1, random_state=0)
    pd.testing.assert_series_equal(combine(shuffled, MARGIN), combine(both, MARGIN))


def test_an_adaptive_score_takes_both_inputs_of_both_passes(both: pd.DataFrame) -> None:
    screen = both.assign(attack=ONE_STEP, phase=SCREEN)
    chosen = IDS[:10]
    scores = pd.concat([screen, both[both["example_id"].isin(chosen)]], ignore_index=True)
    assert set(promoted(scores, (MARGIN,))) == set(chosen)
    score = pooled_score(scores, MARGIN)
    assert score[chosen].min() > score.drop(chosen).max()
    first = [Probe(ONE_STEP, of, SCREEN).rows(scores) for of in (CLEAN, COPY)]
    assert sum(map(len, first)) == len(screen)
    apart = pooled_scores(scores, MARGIN)
    assert (apart.loc[chosen].min() > apart.drop(chosen).max()).all()
    assert (apart.loc[IDS[5:10], "noisy copy"].min() > apart.loc[IDS[:5], "noisy copy"]).all()


def test_a_first_pass_of_the_same_attack_stays_apart_from_the_full_one(both: pd.DataFrame) -> None:
    screen = both.assign(phase=SCREEN)
    full = both[both["example_id"].isin(IDS[:10])]
    by_name = pd.concat([screen.assign(attack=ONE_STEP), full], ignore_index=True)
    scores = pd.concat([screen, full], ignore_index=True)
    assert set(scores["attack"]) == {ODE}
    assert set(scores["phase"]) == {FULL, SCREEN}
    pd.testing.assert_frame_equal(pooled_scores(scores, MARGIN), pooled_scores(by_name, MARGIN))


def test_an_input_that_the_claim_does_not_rest_on_is_as_if_it_were_not_there(
    both: pd.DataFrame,
) -> None:
    """Neither in the score nor in what an adaptive scan promotes by it."""
    clean_only = replace(MARGIN, inputs=(CLEAN,))
    clean = both[both["input"] == CLEAN]
    pd.testing.assert_frame_equal(input_scores(both, clean_only), input_scores(clean, MARGIN))
    screen = both.assign(attack=ONE_STEP, phase=SCREEN)
    order = outstanding(screen, (clean_only,), 1.0)
    assert order == outstanding(screen[screen["input"] == CLEAN], (MARGIN,), 1.0)
    assert order != outstanding(screen, (MARGIN,), 1.0)
    full = both[both["example_id"].isin(order[:10])]
    adaptive = pd.concat([screen, full], ignore_index=True)
    expected = pooled_scores(adaptive[adaptive["input"] == CLEAN], MARGIN)
    pd.testing.assert_frame_equal(pooled_scores(adaptive, clean_only), expected)

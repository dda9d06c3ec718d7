"""Clean images and noisy copies in one score."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from memaudit.statistics import SCREENS, combine, of_copies, pooled_score, promoted, rows_of
from memaudit.statistics.adaptive import pooled_scores
from memaudit.statistics.combine import query_scores

IDS = [f"{k:03}" for k in range(100)]
SIGMAS = (0.5, 1.0, 2.0)


def table(name: str, column: str, seed: int, strong: range = range(0)) -> pd.DataFrame:
    """One query's scores, in which some images stand out."""
    keys = pd.MultiIndex.from_product(
        [IDS, [name], SIGMAS, [0]], names=["example_id", "reconstruction", "sigma", "draw"]
    ).to_frame(index=False)
    chosen = keys["example_id"].isin([IDS[k] for k in strong])
    return keys.assign(**{column: np.random.default_rng(seed).normal(size=len(keys)) + 9 * chosen})


@pytest.fixture
def both() -> pd.DataFrame:
    """Images 0 .. 4 stand out as clean images, 5 .. 9 as noisy copies."""
    clean = table("ode", "margin", 0, range(5))
    copies = table("noisy ode", "copy_correlation", 1, range(5, 10))
    copies = copies[copies["sigma"] > 0.7]
    return pd.concat([clean, copies], ignore_index=True)


def test_an_image_stands_out_under_either_query(both: pd.DataFrame) -> None:
    score = combine(both)
    assert set(score.nlargest(10).index) == set(IDS[:10])
    query = pooled_scores(both).idxmax(axis=1)
    assert set(query[IDS[:5]]) == {"clean image"}
    assert set(query[IDS[5:10]]) == {"noisy copy"}


def test_the_score_is_the_larger_of_two_that_are_spread_alike(both: pd.DataFrame) -> None:
    apart = query_scores(both)
    assert list(apart.columns) == ["clean image", "noisy copy"]
    np.testing.assert_allclose(apart.median(), 0, atol=1e-12)
    spread = (apart - apart.median()).abs().median()
    np.testing.assert_allclose(spread, 1 / 1.4826, rtol=1e-9)
    assert combine(both).equals(apart.max(axis=1).rename("score"))


def test_without_noisy_copies_nothing_changes(both: pd.DataFrame) -> None:
    clean = both[both["reconstruction"] == "ode"]
    assert list(query_scores(clean).columns) == ["clean image"]
    assert pooled_scores(clean)["clean image"].equals(combine(clean).rename("clean image"))


def test_neither_labels_nor_the_order_of_rows_enter(both: pd.DataFrame) -> None:
    pd.testing.assert_series_equal(combine(both.sample(frac=1, random_state=0)), combine(both))


def test_an_adaptive_score_takes_both_queries_of_both_passes(both: pd.DataFrame) -> None:
    screen = both.assign(
        reconstruction=both["reconstruction"].map(
            {"ode": SCREENS[0], "noisy ode": of_copies(SCREENS[0])}
        )
    )
    chosen = IDS[:10]
    scores = pd.concat([screen, both[both["example_id"].isin(chosen)]], ignore_index=True)
    assert set(promoted(scores)) == set(chosen)
    assert pooled_score(scores)[chosen].min() > pooled_score(scores).drop(chosen).max()
    assert len(rows_of(scores, SCREENS[0])) == len(screen)
    apart = pooled_scores(scores)
    assert (apart.loc[chosen].min() > apart.drop(chosen).max()).all()
    assert (apart.loc[IDS[5:10], "noisy copy"].min() > apart.loc[IDS[:5], "noisy copy"]).all()

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scored import CLEAN_ODE, columns, keys, primary

from memaudit.attacks.reconstruction import ODE, ONE_STEP, SAMPLE
from memaudit.errors import InputError
from memaudit.records import CLEAN, FULL
from memaudit.statistics.combine import closeness, combine, standardise

MARGIN, L2, BOTH = primary("margin"), primary("l2"), primary("margin", "l2")


def score_rows(
    values: dict[str, list[list[float]]], attack: str = ODE, column: str = "margin"
) -> pd.DataFrame:
    """One row per example, level and draw of `values[example][level][draw]`."""
    return pd.DataFrame(
        [
            {
                "example_id": name,
                "attack": attack,
                "input": CLEAN,
                "phase": FULL,
                "level": float(level + 1),
                "draw": draw,
                column: value,
            }
            for name, levels in values.items()
            for level, draws in enumerate(levels)
            for draw, value in enumerate(draws)
        ]
    )


FIVE = {"a": 0.0, "b": 1.0, "c": 2.0, "d": 3.0, "e": 10.0}


def test_a_level_is_standardised_by_median_and_mad() -> None:
    score = combine(score_rows({name: [[value]] for name, value in FIVE.items()}), MARGIN)
    # median 2, deviations 2 1 0 1 8 with median 1
    assert score.to_dict() == pytest.approx(
        {name: (value - 2) / 1.4826 for name, value in FIVE.items()}
    )


def test_draws_are_averaged_before_the_level_is_standardised() -> None:
    apart = score_rows({name: [[value - 7, value + 7]] for name, value in FIVE.items()})
    together = score_rows({name: [[value]] for name, value in FIVE.items()})
    pd.testing.assert_series_equal(combine(apart, MARGIN), combine(together, MARGIN))


def test_levels_weigh_alike_whatever_their_scale() -> None:
    one = combine(score_rows({name: [[value]] for name, value in FIVE.items()}), MARGIN)
    two = combine(
        score_rows({name: [[value], [1000 * value]] for name, value in FIVE.items()}), MARGIN
    )
    pd.testing.assert_series_equal(one, two)


def test_a_level_without_mad_falls_back_to_the_standard_deviation() -> None:
    score = combine(score_rows({"a": [[1.0]], "b": [[0.0]], "c": [[0.0]], "d": [[0.0]]}), MARGIN)
    assert score["a"] == pytest.approx(1 / np.std([1, 0, 0, 0]))
    assert score["b"] == 0


def test_a_constant_level_counts_as_zero() -> None:
    noise = {"a": 0.1, "b": 0.1 + 1e-8, "c": 0.1 - 1e-8, "d": 0.1, "e": 0.1 + 2e-8}
    rows = score_rows({name: [[value], [noise[name]]] for name, value in FIVE.items()})
    alone = combine(score_rows({name: [[value]] for name, value in FIVE.items()}), MARGIN)
    np.testing.assert_allclose(combine(rows, MARGIN), alone / 2)


def test_lower_is_closer_columns_are_negated() -> None:
    rows = score_rows({name: [[value]] for name, value in FIVE.items()}, column="l2")
    assert combine(rows, L2).idxmax() == "a"


def test_row_order_changes_no_bit() -> None:
    rng = np.random.default_rng(0)
    rows = score_rows({f"{i:02}": list(rng.normal(size=(3, 4))) for i in range(40)})
    shuffled = rows.sample(frac=1, random_state=1)
    pd.testing.assert_series_equal(
        combine(rows, MARGIN), combine(shuffled, MARGIN), check_exact=True
    )


def test_only_the_attack_that_is_asked_for_is_pooled() -> None:
    ode = score_rows({name: [[value]] for name, value in FIVE.items()})
    one_step = score_rows({name: [[-value]] for name, value in FIVE.items()}, ONE_STEP)
    both = pd.concat([one_step, ode])
    by_one_step = primary("margin", attack=ONE_STEP)
    pd.testing.assert_series_equal(combine(both, MARGIN), combine(ode, MARGIN))
    pd.testing.assert_series_equal(combine(both, by_one_step), combine(one_step, by_one_step))


def test_an_attack_that_was_not_run_is_refused() -> None:
    with pytest.raises(InputError, match=rf"\['{ODE}'\], expected {SAMPLE}"):
        combine(score_rows({"a": [[1.0]]}), primary(attack=SAMPLE))


def test_an_unknown_column_is_refused() -> None:
    with pytest.raises(InputError, match="no score column 'charm'"):
        combine(score_rows({"a": [[1.0]]}), primary("charm"))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_not_finite_is_named(value: float) -> None:
    with pytest.raises(InputError, match=r"margin is (nan|inf) at example b, .* level 2.0, draw 0"):
        combine(score_rows({"a": [[1.0], [1.0]], "b": [[1.0], [value]]}), MARGIN)


def test_a_missing_level_is_named() -> None:
    with pytest.raises(InputError, match=r"example b has no score .* level 2.0, draw 0"):
        combine(score_rows({"a": [[1.0], [1.0]], "b": [[1.0]]}), MARGIN)


def test_an_example_without_the_pooled_attack_is_named() -> None:
    rows = pd.concat([score_rows({"a": [[1.0]]}), score_rows({"b": [[1.0]]}, ONE_STEP)])
    with pytest.raises(InputError, match=f"example b has no score for the attack {ODE}"):
        combine(rows, MARGIN)


def test_a_repeated_row_is_named() -> None:
    rows = score_rows({"a": [[1.0]], "b": [[2.0]]})
    with pytest.raises(InputError, match=r"example a, .* is there twice"):
        combine(pd.concat([rows, rows]), MARGIN)


def test_no_scores_combine_to_none() -> None:
    assert combine(score_rows({"a": [[1.0]]}).iloc[:0], MARGIN).empty


def test_one_huge_value_does_not_hide_the_differences_of_the_others() -> None:
    values = np.random.default_rng(0).uniform(0.5, 1.5, (1000, 1))
    without = standardise(values)[1:]
    values[0] = 1e6
    np.testing.assert_allclose(standardise(values)[1:], without, atol=0.02)


def mad(score: pd.Series) -> float:
    return 1.4826 * float((score - score.median()).abs().median())


def test_columns_are_added_in_units_of_their_spread() -> None:
    rows = score_rows({name: [[value], [value**2]] for name, value in FIVE.items()})
    rows["l2"] = 1000 * np.random.default_rng(0).random(len(rows))
    margin, l2 = (combine(rows, one) for one in (MARGIN, L2))
    expected = margin / mad(margin) + l2 / mad(l2)
    pd.testing.assert_series_equal(combine(rows, BOTH), expected, check_names=False)


def test_a_column_without_spread_adds_nothing() -> None:
    rows = score_rows({name: [[value]] for name, value in FIVE.items()}).assign(l2=0.25)
    margin = combine(rows, MARGIN)
    assert combine(rows, BOTH).to_dict() == pytest.approx((margin / mad(margin)).to_dict())


def test_the_levels_of_summed_columns_average_to_their_score() -> None:
    rows = score_rows({name: [[value], [value**2]] for name, value in FIVE.items()})
    rows["l2"] = np.random.default_rng(1).random(len(rows))
    levels = closeness(rows, columns("margin", "l2"), CLEAN_ODE)
    assert levels.shape == (5, 2)
    np.testing.assert_allclose(levels.mean(axis=1), combine(rows, BOTH))


def test_a_missing_column_of_a_sum_is_named() -> None:
    rows = score_rows({name: [[value]] for name, value in FIVE.items()})
    with pytest.raises(InputError, match="no score column 'l3'"):
        combine(rows, primary("margin", "l3"))


def test_one_absurd_picture_takes_no_column_out_of_the_score() -> None:
    rng = np.random.default_rng(0)
    ids = [f"{number:03}" for number in range(300)]
    margin, l2 = rng.normal(size=(2, 300))
    rows = keys(ids, (0.5, 2.0)).assign(
        margin=np.repeat(margin, 2) + rng.normal(0, 0.3, 600),
        l2=np.repeat(l2, 2) + rng.normal(0, 0.3, 600),
    )
    plain = combine(rows, BOTH)
    absurd = combine(rows.assign(l2=rows["l2"].mask(rows["example_id"] == "299", -1e4)), BOTH)
    assert absurd["299"] > 100
    others = ids[:-1]
    np.testing.assert_allclose(absurd[others], plain[others], atol=0.1)
    assert plain[others].corr(pd.Series(-l2[:-1], others)) > 0.6


def test_a_level_where_most_are_alike_is_not_ruled_by_one_absurd_value() -> None:
    values = np.zeros((400, 1))
    values[:40, 0] = 1.0
    calm = standardise(values)
    values[-1] = 1e6
    assert standardise(values)[0, 0] == pytest.approx(calm[0, 0], rel=0.2)


def test_one_level_at_which_an_image_is_taken_for_another_does_not_undo_the_others() -> None:
    rng = np.random.default_rng(1)
    ids = [f"{number:03}" for number in range(100)]
    rows = keys(ids, (0.5, 1.0, 2.0)).assign(margin=rng.normal(size=300))
    is_it = rows["example_id"] == "007"
    rows.loc[is_it, "margin"] = [8.0, 8.0, -60.0]
    score = combine(rows, MARGIN)
    assert score.idxmax() == "007"

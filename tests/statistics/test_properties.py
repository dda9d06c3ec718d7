"""What holds of p, q and scores whatever the numbers are."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from scored import keys, primary

from memaudit.statistics.combine import combine
from memaudit.statistics.conformal import benjamini_hochberg, conformal_p

Numbers = NDArray[np.float64]
SCORES = st.floats(-1e6, 1e6)
# Of a few values, so that ties are common.
COARSE = st.integers(-4, 4).map(float)
IDS, SIGMAS, DRAWS = [f"{k:02}" for k in range(9)], (0.5, 1.0, 2.0), 2
MARGIN, BOTH = primary("margin"), primary("margin", "l2")

settings.register_profile("tests", deadline=None, derandomize=True, database=None)
settings.load_profile("tests")
FEW = settings(max_examples=25)  # of tables, which take longer


def vectors(least: int = 0, values: st.SearchStrategy[float] = SCORES | COARSE):
    return arrays.arrays(np.float64, st.integers(least, 40), elements=values)


def p_values():
    return vectors(values=st.floats(1e-6, 1) | st.sampled_from([0.01, 0.05, 0.5, 1.0]))


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    """Scores of nine images at three levels, two draws each, that are no rounding errors apart."""
    rows = keys(IDS, SIGMAS, DRAWS)
    values = arrays.arrays(np.float64, len(rows), elements=st.integers(-1000, 1000).map(float))
    return rows.assign(margin=draw(values), l2=draw(values))


@given(vectors(), vectors())
def test_p_is_a_rank_among_the_controls(members: Numbers, controls: Numbers) -> None:
    p, places = conformal_p(members, controls), len(controls) + 1
    assert p.shape == members.shape
    assert ((1 / places <= p) & (p <= 1)).all()
    np.testing.assert_allclose(p * places, np.round(p * places), rtol=1e-12)


@given(vectors(), vectors())
def test_a_higher_score_never_has_a_higher_p_by_rank(members: Numbers, controls: Numbers) -> None:
    ascending = np.sort(members)
    assert (np.diff(conformal_p(ascending, controls)) <= 0).all()


@given(vectors(), vectors(1), st.floats(0, 100))
def test_raising_a_control_never_lowers_a_p(
    members: Numbers, controls: Numbers, more: float
) -> None:
    raised = controls.copy()
    raised[0] += more
    assert (conformal_p(members, raised) >= conformal_p(members, controls)).all()


@given(vectors(), vectors(), st.randoms(use_true_random=False))
def test_the_order_of_rows_moves_no_p(members: Numbers, controls: Numbers, random) -> None:
    order = random.sample(range(len(members)), len(members))
    others = random.sample(range(len(controls)), len(controls))
    moved = conformal_p(members[order], controls[others])
    np.testing.assert_array_equal(moved, conformal_p(members, controls)[order])


@given(p_values())
def test_q_is_at_least_p_and_at_most_one(p: Numbers) -> None:
    q = benjamini_hochberg(p)
    assert q.shape == p.shape
    assert (q >= p - 1e-12).all()  # q is rounded to 1e-12
    assert (q <= 1).all()


@given(p_values())
def test_q_rises_with_p(p: Numbers) -> None:
    assert (np.diff(benjamini_hochberg(np.sort(p))) >= 0).all()


@given(p_values(), st.sampled_from([0.01, 0.05, 0.1, 0.5]))
def test_what_q_flags_is_the_step_up_rule(p: Numbers, level: float) -> None:
    ordered, ranks = np.sort(p), np.arange(1, len(p) + 1)
    passing = ordered[ordered * len(p) <= level * ranks * (1 + 1e-12)]
    expected = p <= passing.max() if len(passing) else np.zeros(len(p), bool)
    np.testing.assert_array_equal(benjamini_hochberg(p) <= level, expected)


@given(p_values(), st.data())
def test_raising_a_p_lowers_no_q(p: Numbers, data: st.DataObject) -> None:
    if len(p):
        k = data.draw(st.integers(0, len(p) - 1))
        raised = p.copy()
        raised[k] = data.draw(st.floats(float(p[k]), 1))
        assert (benjamini_hochberg(raised) >= benjamini_hochberg(p)).all()


@given(p_values(), st.randoms(use_true_random=False))
def test_the_order_of_rows_moves_no_q(p: Numbers, random) -> None:
    order = random.sample(range(len(p)), len(p))
    np.testing.assert_array_equal(benjamini_hochberg(p[order]), benjamini_hochberg(p)[order])


@FEW
@given(tables(), st.sampled_from([MARGIN, BOTH]), st.integers(1, 50), st.integers(-500, 500))
def test_scale_and_origin_of_a_column_do_not_enter(table, primary, scale, origin) -> None:
    moved = table.assign(margin=scale * table["margin"] + origin)
    np.testing.assert_allclose(combine(moved, primary), combine(table, primary), atol=1e-9)


@FEW
@given(tables(), st.sampled_from([MARGIN, BOTH]), st.randoms(use_true_random=False))
def test_the_order_of_rows_moves_no_bit_of_a_score(table, primary, random) -> None:
    shuffled = table.iloc[random.sample(range(len(table)), len(table))]
    pd.testing.assert_series_equal(
        combine(shuffled, primary), combine(table, primary), check_exact=True
    )


@FEW
@given(tables(), st.randoms(use_true_random=False))
def test_which_draw_is_which_does_not_enter(table, random) -> None:
    levels = table[["example_id", "level"]].drop_duplicates().itertuples(index=False, name=None)
    swapped = {level: random.sample(range(DRAWS), DRAWS) for level in levels}
    draws = [
        swapped[name, sigma][draw]
        for name, sigma, draw in table[["example_id", "level", "draw"]].itertuples(index=False)
    ]
    np.testing.assert_allclose(
        combine(table.assign(draw=draws), BOTH), combine(table, BOTH), atol=1e-9
    )


@FEW
@given(tables(), st.permutations(IDS))
def test_names_of_images_do_not_enter(table, names) -> None:
    renamed = dict(zip(IDS, names, strict=True))
    score = combine(table.assign(example_id=table["example_id"].map(renamed)), BOTH)
    np.testing.assert_allclose(score[names], combine(table, BOTH), atol=1e-9)

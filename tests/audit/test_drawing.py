"""The draw of a split: what is drawn together, and how likely."""

from collections import Counter
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from memaudit.audit.drawing import draw, join
from memaudit.errors import DataError


def test_rows_that_share_a_value_of_any_column_are_joined_through_others_too():
    table = pd.DataFrame(
        {"group": [1, 1, 2, 3, 4, 5], "cluster": ["a", "b", "b", "c", "d", "c"], "own": range(6)}
    )
    units = join(table, ["group", "cluster", "own"])
    assert units.tolist() == [0, 0, 0, 1, 2, 1]
    assert join(table, ["own"]).tolist() == list(range(6))


def test_equal_values_of_different_columns_join_nothing():
    table = pd.DataFrame({"group": ["a", "b"], "cluster": ["b", "a"]})
    assert join(table, ["group", "cluster"]).tolist() == [0, 1]


def test_every_set_of_units_is_equally_likely_whatever_their_sizes():
    units = np.array([0] * 20 + [1, 2, 3])
    ids = pd.Series([f"{k:02}" for k in range(len(units))])
    counts = Counter()
    for seed in range(3000):
        counts[tuple(sorted(set(units[draw(units, ids, 2, seed)])))] += 1
    assert set(counts) == set(combinations(range(4), 2))
    # 3000 / 6 = 500 each; 5 standard deviations of a binomial are 102
    assert all(abs(count - 500) < 102 for count in counts.values())


def test_the_draw_depends_on_the_seed_and_the_ids_and_not_on_the_order_of_rows():
    ids = pd.Series([f"{k:03}" for k in range(60)])
    units = np.arange(60) // 3
    drawn = set(ids[draw(units, ids, 7, 0)])
    assert len(drawn) == 21
    order = np.random.default_rng(0).permutation(60)
    other = join(pd.DataFrame({"unit": units[order]}), ["unit"])
    mixed = ids.iloc[order].reset_index(drop=True)
    assert set(mixed[draw(other, mixed, 7, 0)]) == drawn
    assert set(ids[draw(units, ids, 7, 1)]) != drawn


@pytest.mark.parametrize("count", [3, 4])
def test_a_draw_that_leaves_nothing_is_refused(count):
    with pytest.raises(DataError, match="found 3 clusters or groups"):
        draw(np.array([0, 1, 2, 2]), pd.Series(list("abcd")), count, 0)

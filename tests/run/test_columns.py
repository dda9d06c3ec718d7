"""A table that is sealed and that no scan wrote is refused by what is wrong with it."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scored import keys

from memaudit.errors import RunDirectoryError
from memaudit.run.columns import OF_SCORES, expect_columns

SCORES = keys(["a", "b"], [1.0]).assign(margin=[0.5, float("nan")], nearest_other=None)


def expect(table: pd.DataFrame) -> None:
    expect_columns(pa.Table.from_pandas(table, preserve_index=False), OF_SCORES, "part")


def test_what_a_scan_writes_is_taken_and_columns_of_other_packages_too():
    expect(SCORES)
    expect(SCORES.assign(nearest_other="b", found=True, told="text", number=np.float32(3), no=None))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"example_id": 3}, "'example_id' is int64, expected text"),
        ({"margin": "x"}, "'margin' is .*string, expected a number"),
        ({"margin": None}, "'margin' is null, expected a number"),
        ({"draw": True}, "'draw' is bool, expected a number"),
        ({"flagged": "yes"}, "'flagged' is .*string, expected true or false"),
        ({"other": [[[1]], [[2]]]}, "'other' is list<.*>, expected text or a number"),
        ({"other": pd.Timestamp(0)}, "'other' is timestamp.*, expected text or a number"),
    ],
)
def test_a_column_of_another_kind_is_named(change, said):
    with pytest.raises(RunDirectoryError, match=rf"^part cannot be read \(its column {said}"):
        expect(SCORES.assign(**change))


@pytest.mark.parametrize("name", OF_SCORES)
def test_a_column_that_is_missing_is_named(name):
    with pytest.raises(RunDirectoryError, match=f"it has no column {name}"):
        expect(SCORES.drop(columns=name))


def test_a_column_that_is_there_twice_is_named():
    table = pa.Table.from_pandas(SCORES, preserve_index=False)
    with pytest.raises(RunDirectoryError, match="'draw' is there twice, expected one"):
        expect_columns(table.append_column("draw", table["draw"]), OF_SCORES, "part")

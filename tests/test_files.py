"""Files are whole or absent, and spreadsheets run nothing in them."""

import csv
import json
import math
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from memaudit.files import (
    finite,
    in_place,
    to_parquet,
    write_csv,
    write_json,
    write_text,
    write_whole,
)


def write_parquet(path: Path, table: pd.DataFrame) -> None:
    write_whole(path, to_parquet(table))


class Unwritable:
    """What neither a cell nor Arrow can hold."""

    def __str__(self) -> str:
        raise ValueError("no text")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("text", ["=1+2", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_text_that_a_spreadsheet_would_run_is_quoted(tmp_path, text):
    write_csv(tmp_path / "a.csv", pd.DataFrame({"source": [text, "a" + text]}))
    shown = text.replace("\r", " ")
    assert [row["source"] for row in rows(tmp_path / "a.csv")] == [f"'{shown}", f"a{shown}"]


def test_numbers_and_flags_are_never_quoted(tmp_path):
    table = pd.DataFrame({"x": [-1.5, math.nan], "n": [-3, 4], "flag": [True, False]})
    write_csv(tmp_path / "a.csv", table)
    assert rows(tmp_path / "a.csv") == [
        {"x": "-1.5", "n": "-3", "flag": "True"},
        {"x": "", "n": "4", "flag": "False"},
    ]


def test_any_text_survives_csv(tmp_path):
    texts = ['a,"b"', "two\nlines", "Zürich 東京", "", "'quoted"]
    write_csv(tmp_path / "a.csv", pd.DataFrame({"source": texts}))
    assert [row["source"] for row in rows(tmp_path / "a.csv")] == texts


def test_a_carriage_return_starts_no_row(tmp_path):
    write_csv(tmp_path / "a.csv", pd.DataFrame({"source": ["a\r=1+2"]}))
    assert (tmp_path / "a.csv").read_bytes() == b"source\na =1+2\n"


def test_a_table_is_not_changed_by_being_written(tmp_path):
    table = pd.DataFrame({"source": ["=1"]})
    write_csv(tmp_path / "a.csv", table)
    write_whole(tmp_path / "a.parquet", to_parquet(table))
    assert table["source"].tolist() == ["=1"]
    assert pd.read_parquet(tmp_path / "a.parquet")["source"].tolist() == ["=1"]


def test_an_empty_table_keeps_its_columns(tmp_path):
    table = pd.DataFrame(columns=["split", "source", "error"])
    write_csv(tmp_path / "a.csv", table)
    assert (tmp_path / "a.csv").read_text() == "split,source,error\n"


def test_parquet_keeps_values_types_and_metadata(tmp_path):
    table = pd.DataFrame({"x": [1.0, math.nan], "n": [1, 2], "source": ["a", "é"]})
    write_whole(tmp_path / "a.parquet", to_parquet(table, {"memaudit.errors": "{}"}))
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "a.parquet"), table)
    assert pq.read_schema(tmp_path / "a.parquet").metadata[b"memaudit.errors"] == b"{}"


def test_json_has_null_for_what_is_not_finite(tmp_path):
    content = {"a": (1, math.nan), "b": {"c": -math.inf}, 3: "東京"}
    write_json(tmp_path / "a.json", content)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"a": [1, None], "b": {"c": None}, "3": "東京"}
    assert text.endswith("}\n")


def test_a_write_that_fails_leaves_the_earlier_file(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}


def test_no_temporary_file_stays(tmp_path):
    write_json(tmp_path / "a.json", {})
    write_csv(tmp_path / "a.csv", pd.DataFrame({"a": [1]}))
    write_whole(tmp_path / "a.parquet", to_parquet(pd.DataFrame({"a": [1]})))
    names = sorted(path.name for path in tmp_path.iterdir() if path.is_file())
    assert names == ["a.csv", "a.json", "a.parquet"]


def test_text_is_written_as_it_is_in_place_of_the_text_before(tmp_path):
    path = tmp_path / "a.txt"
    for text in ("a longer text before\n", "Zürich 東京"):
        write_text(path, text)
    assert path.read_bytes() == "Zürich 東京".encode()


def test_what_is_not_finite_is_none_at_any_depth_and_all_else_stays():
    content = {"a": [1, math.nan, (math.inf, "x")], 2: {"b": None, "c": True}}
    assert finite(content) == {"a": [1, None, [None, "x"]], "2": {"b": None, "c": True}}
    assert math.isnan(content["a"][1])


def test_floats_of_a_csv_have_six_digits_and_those_of_parquet_all(tmp_path):
    table = pd.DataFrame({"x": [1 / 3, 123456789.0, 1e-9]})
    write_csv(tmp_path / "a.csv", table)
    write_parquet(tmp_path / "a.parquet", table)
    shown = [row["x"] for row in rows(tmp_path / "a.csv")]
    assert shown == ["0.333333", "1.23457e+08", "1e-09"]
    assert pd.read_parquet(tmp_path / "a.parquet")["x"].tolist() == table["x"].tolist()


@pytest.mark.parametrize("write", [write_csv, write_parquet])
def test_a_table_that_cannot_be_written_leaves_the_earlier_one(tmp_path, write):
    path = tmp_path / "table"
    write(path, pd.DataFrame({"a": [1]}))
    before = path.read_bytes()
    with pytest.raises((TypeError, ValueError)):
        write(path, pd.DataFrame({"a": [Unwritable()]}))
    assert path.read_bytes() == before


def write_half(path: Path) -> None:
    with in_place(path) as temporary:
        temporary.write_bytes(b"half of it")
        raise KeyboardInterrupt


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_whole(tmp_path / "there", b"content")
    with pytest.raises(KeyboardInterrupt):
        write_half(tmp_path / "a.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_a_link_that_has_the_temporary_name_is_not_written_through(tmp_path):
    (tmp_path / "mine").write_bytes(b"mine")
    (tmp_path / "a.json.tmp").symlink_to(tmp_path / "mine")
    write_whole(tmp_path / "a.json", b"new")
    assert (tmp_path / "mine").read_bytes() == b"mine"
    assert (tmp_path / "a.json").read_bytes() == b"new"
    assert not (tmp_path / "a.json").is_symlink()

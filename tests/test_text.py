"""Text of another's making does nothing on a terminal, in a spreadsheet or to a writer."""

import csv
import io
import json
import unicodedata

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memaudit.files import to_csv, to_json, to_parquet, write_text
from memaudit.text import cell, encodable, shown

TURNING = ("LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI")
ANY = st.text(st.characters(), max_size=40)  # surrogates, controls and all


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("\x1b[2J\x1b]0;pwn\x07red", "\\x1b[2J\\x1b]0;pwn\\x07red"),
        ("x\nmemaudit: Verdict: none", "x\\nmemaudit: Verdict: none"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\udcff\udcfe.png", "\\udcff\\udcfe.png"),
        ("\x7f\x9b1m\u2028\u2066\ufeff", "\\x7f\\x9b1m\\u2028\\u2066\\ufeff"),
        ("Zürich 東京 \U0001f469\u200d\U0001f52c", "Zürich 東京 \U0001f469\u200d\U0001f52c"),
    ],
)
def test_what_is_no_plain_letter_is_escaped(text, seen):
    assert shown(text) == seen


@given(ANY)
@settings(max_examples=500)
def test_any_text_is_one_harmless_line(text):
    line = shown(text)
    assert len(line.splitlines()) <= 1
    assert not any(unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") for one in line)
    assert not set(line) & set(
        "\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    )
    line.encode()


@pytest.mark.parametrize("lead", ["", " ", "\n", "\t", "\r", "\x1b", "\u3000", "\u200b", "\x00 \n"])
@pytest.mark.parametrize("sign", list("=+-@＝＋－＠﹦﹢﹣﹫⁼⁺"))
def test_a_formula_is_quoted_whatever_stands_before_it(lead, sign):
    assert cell(f"{lead}{sign}1+1").startswith("'")
    assert not cell(f"{lead}a{sign}1").startswith("'") or lead in ("\t", "\r")


@given(ANY)
@settings(max_examples=500)
def test_no_cell_is_run_and_all_are_one_row(text):
    content = to_csv(pd.DataFrame({"source": pd.Series([text], dtype=object), "n": [-1]}))
    [_, [found, number]] = list(csv.reader(io.StringIO(content.decode(), newline="")))
    assert number == "-1"
    assert found == cell(text)
    start = unicodedata.normalize("NFKC", found).lstrip()
    assert not start.startswith(("=", "+", "-", "@"))
    assert not any(unicodedata.category(one) == "Cc" for one in found if one not in "\n\t")


def test_the_names_of_columns_are_cells_too():
    assert to_csv(pd.DataFrame({"=1": [1]})) == b"'=1\n1\n"


@given(ANY)
@settings(max_examples=50, deadline=None)
def test_any_text_can_be_written(tmp_path_factory, text):
    assert json.loads(to_json({text: [text]})) == {encodable(text): [encodable(text)]}
    table = pd.read_parquet(
        io.BytesIO(to_parquet(pd.DataFrame({"a": [text, None]}, dtype=object), {"k": text}))
    )
    assert table["a"][0] == encodable(text)
    assert table["a"].isna().tolist() == [False, True]
    path = tmp_path_factory.getbasetemp() / "a.txt"
    write_text(path, text)
    assert path.read_bytes().decode() == encodable(text)

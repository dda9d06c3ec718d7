"""Findings as tables for spreadsheets, and a report for machines that a schema describes."""

import csv
import io
import json
from importlib.resources import files

import pytest
from jsonschema import Draft202012Validator, ValidationError
from published import published
from recorded import ALL, evidence
from test_redaction import KEY, named

from memaudit.report.attachments import MARK, SHORT, attachments
from memaudit.report.document import document
from memaudit.report.html import Compared
from memaudit.report.redaction import redact
from memaudit.report.write import write_reports

HOSTILE = '=HYPERLINK("http://x","y")'


def rows(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))


def validator() -> Draft202012Validator:
    path = files("memaudit") / "schemas/report.schema.json"
    return Draft202012Validator(json.loads(path.read_text("utf-8")))


def written(tmp_path, name):
    return json.loads((tmp_path / name).read_text(encoding="utf-8"))


def test_the_short_table_has_ten_columns_and_the_same_rows():
    run = published(evidence())
    tables = dict(attachments([run], mark=False))
    full, short = rows(tables["findings.csv"]), rows(tables["findings-short.csv"])
    assert len(SHORT) == len(short[0]) == 10
    assert [{name: one[name] for name in SHORT} for one in full] == short
    assert [one["example_id"] for one in full] == list(run.findings["example_id"])


def test_tables_of_several_runs_are_numbered_and_marked_only_where_asked():
    runs = [published(evidence()), published(evidence(), count=9)]
    marked = dict(attachments(runs, mark=True))
    assert [*marked] == [
        f"findings{short}-{number}.csv" for number in (1, 2) for short in ("", "-short")
    ]
    plain = dict(attachments(runs, mark=False))
    assert all(content == MARK + plain[name] for name, content in marked.items())


def test_no_cell_is_a_formula_in_either_table():
    run = published(evidence(), prompt=HOSTILE, source=HOSTILE)
    for content in dict(attachments([run], mark=True)).values():
        assert {one["prompt"] for one in rows(content)} == {f"'{HOSTILE}"}
        assert {one["source"] for one in rows(content)} == {f"'{HOSTILE}"}


@pytest.mark.parametrize("made", ALL, ids=lambda one: one.__name__)
def test_a_report_in_json_is_as_its_schema_says(made, tmp_path):
    runs = [published(made()), published(evidence(), count=9)]
    write_reports(runs, tmp_path, ("json",), Compared(("less",), ("few",), "text"))
    content = written(tmp_path, "report.json")
    validator().validate(content)
    first = content["runs"][0]
    assert [row["example_id"] for row in first["findings"]] == list(runs[0].findings["example_id"])
    assert first["findings"][-1]["p_value"] is None  # a control has none
    assert first["findings"][0]["flagged"] is True
    assert [one["name"] for one in first["columns"]] == list(runs[0].findings.columns)
    assert content["compared"] == {"sentences": ["less"], "remarks": ["few"]}


@pytest.mark.parametrize(
    "change", [{"format": 3}, {"runs": None}, {"runs": [{"name": "a"}]}], ids=str
)
def test_what_is_no_report_is_not_as_the_schema_says(change):
    with pytest.raises(ValidationError):
        validator().validate({**document([published(evidence())], None), **change})


def test_a_redacted_report_leaves_the_same_out_of_tables_and_json(tmp_path):
    run = named()
    write_reports([run], tmp_path / "open", ("csv", "json"), None)
    told = redact(run, KEY, "run 1")
    write_reports([told], tmp_path / "told", ("csv", "json"), None)
    for name in ("findings.csv", "findings-short.csv", "report.json"):
        assert "secret" in (tmp_path / "open" / name).read_text(encoding="utf-8")
        text = (tmp_path / "told" / name).read_text(encoding="utf-8")
        assert "secret" not in text
        assert not [one for one in run.findings["example_id"] if one[:12] in text]
    validator().validate(written(tmp_path, "told/report.json"))

"""Records come back from their JSON as they were, or are refused by name."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded import ALL, none, prepared, settled_in_full

from memaudit.attacks.reconstruction import ONE_STEP
from memaudit.audit import scan
from memaudit.config import ScanConfig
from memaudit.errors import RunDirectoryError
from memaudit.models.provenance import Memorized, Provenance
from memaudit.run.directory import RunDirectory
from memaudit.run.record import (
    FORMAT,
    Prepared,
    Record,
    content,
    read_prepared,
    read_record,
    schema,
    write,
)

PLACE = "run/scan.json"
FINITE = st.floats(allow_nan=False, allow_infinity=False)
every_record = pytest.mark.parametrize("made", ALL, ids=lambda made: made.__name__)


def edited(text: bytes, where: str, value: object = None) -> bytes:
    """JSON in which one place holds another value, or none at all."""
    whole = json.loads(text)
    *path, last = where.split(".")
    inner = whole
    for name in path:
        inner = inner[name]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    return json.dumps(whole).encode()


@every_record
def test_a_record_is_read_back_as_it_was_written(made: Callable[[], Record]) -> None:
    record = made()
    again = read_record(write(record), PLACE)
    assert again == record
    assert write(again) == write(record)
    assert type(again.summary.verdict.outcome) is type(record.summary.verdict.outcome)
    assert again.config.digest == record.config.digest


@pytest.mark.parametrize("made", [prepared, settled_in_full])
def test_what_was_prepared_is_read_back_as_it_was_written(made: Callable[[], Prepared]) -> None:
    assert read_prepared(write(made()), "run/prepared.json") == made()


@given(FINITE, FINITE, st.text(st.characters(exclude_categories=["Cs"])), st.integers(0))
def test_numbers_and_texts_lose_nothing(one: float, other: float, text: str, count: int) -> None:
    levels = replace(prepared().levels, sigmas=(one, other), identification_limit=other)
    data = replace(prepared().data, index=text, entries=count)
    model = Provenance(text, weights={text: text}, details={text: [text, one, None]})
    changed = replace(prepared(), levels=levels, data=data, model=model)
    assert read_prepared(write(changed), PLACE) == changed


def test_the_content_is_that_of_the_file() -> None:
    record = none()
    assert content(record) == json.loads(write(record))
    assert list(content(record))[:2] == ["format", "verdict"]


def test_what_is_not_finite_is_null() -> None:
    model = Provenance(details={"loss": math.nan, "range": [0.0, math.inf]})
    again = read_prepared(write(replace(prepared(), model=model)), PLACE)
    assert again.model.details == {"loss": None, "range": [0.0, None]}


@pytest.mark.parametrize("read", [read_record, read_prepared])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "holds no JSON object"),
        (b'{"format": 1', "holds no JSON object"),
        (b"[]", "holds no JSON object"),
        (b"null", "holds no JSON object"),
        (b"\xff\xfe", "holds no JSON object"),
        (b"{}", "is of an earlier version of memaudit, expected format 2"),
        (b'{"verdict": {"outcome": "evidence"}}', "is of an earlier version of memaudit"),
        (b'{"format": 0}', "is of format 0, expected format 2"),
        (b'{"format": 3}', "is of format 3, expected format 2"),
        (b'{"format": "1"}', "is of format 1, expected format 2"),
    ],
)
def test_another_format_and_broken_json_are_refused(read, text: bytes, said: str) -> None:
    with pytest.raises(RunDirectoryError) as refused:
        read(text, PLACE)
    assert str(refused.value).startswith(PLACE)
    assert said in str(refused.value)
    assert "into another --out" in str(refused.value)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("verdict", None),
        ("summary.flagged.groups", None),
        ("prepared.primary.columns", None),
        ("config.data.dataset", None),
        ("environment.packages", None),
        ("summary.verdict.outcome", "guilty"),
        ("summary.counts.members", "many"),
        ("prepared.primary.of_copies", 3),
        ("summary.levels", [{}]),
        ("config.attack.sampler", "secret"),
    ],
)
def test_a_field_that_is_missing_or_makes_no_sense_is_named(where: str, value: object) -> None:
    with pytest.raises(RunDirectoryError, match=f"^{PLACE} cannot be read: {where}.*--out"):
        read_record(edited(write(none()), where, value), PLACE)


@pytest.mark.parametrize(
    ("where", "value"), [("config.calibration.q", 7.0), ("config.execution.batch_size", 0)]
)
def test_a_configuration_out_of_bounds_is_no_record(where: str, value: object) -> None:
    with pytest.raises(RunDirectoryError, match=f"^{PLACE} cannot be read"):
        read_record(edited(write(none()), where, value), PLACE)


def test_what_was_prepared_is_no_record_of_a_scan() -> None:
    with pytest.raises(RunDirectoryError, match="cannot be read: verdict: Field required"):
        read_record(write(prepared()), PLACE)


@every_record
def test_the_schema_accepts_what_is_written(made: Callable[[], Record]) -> None:
    validator = jsonschema.validators.validator_for(schema())
    validator.check_schema(schema())
    validator(schema()).validate(json.loads(write(made())))


@pytest.mark.parametrize("where", ["verdict", "summary.flagged.groups", "config.data.dataset"])
def test_the_schema_refuses_a_record_with_a_hole(where: str) -> None:
    with pytest.raises(jsonschema.ValidationError, match="is a required property"):
        jsonschema.validate(json.loads(edited(write(none()), where)), schema())


def test_a_scan_is_read_back_as_it_ended(tiles, write_folder, tmp_path: Path) -> None:
    members = write_folder("members", tiles[:12])
    asked = ScanConfig(
        model=f"closed-form:{members}",
        dataset=str(members),
        controls=str(write_folder("controls", tiles[12:60])),
        out=str(tmp_path / "run"),
        embedder="pixels",
        reconstruct=("ode", "one-step"),
        levels=2,
        draws=1,
        steps=3,
        images=0,
    )
    result = scan(asked)
    run = RunDirectory.at(tmp_path / "run")
    assert run.record() == result.record
    assert run.prepared() == result.prepared
    assert result.prepared.format == FORMAT
    assert [one.attack for one in result.prepared.others] == [ONE_STEP]
    jsonschema.validate(json.loads((tmp_path / "run/scan.json").read_text()), schema())
    assert result.report() == json.loads((tmp_path / "run/scan.json").read_text())


def test_weights_are_told_apart_by_what_is_known_of_them() -> None:
    unet, images = {"unet": "a"}, Memorized(8, 0, "c")
    known = [
        Provenance(weights=unet),
        Provenance(weights={"unet": "b"}),
        Provenance(weights=unet, adapters={"lora": "d"}),
        Provenance(memorized=images),
    ]
    assert len({model.digest for model in known}) == len(known)
    assert replace(known[0], dtype="float16", model="elsewhere").digest == known[0].digest
    assert Provenance(model="my own").digest == ""


def test_a_scan_of_before_data_set_inference_is_read() -> None:
    record = none()
    assert record.summary.inference is not None
    again = read_record(edited(write(record), "summary.inference"), PLACE)
    assert again == replace(record, summary=replace(record.summary, inference=None))

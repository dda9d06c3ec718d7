"""The record and the findings of finished runs in one JSON document, with a published schema."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pandas as pd
from pydantic import TypeAdapter

from memaudit.report.finished import Reported
from memaudit.report.html import Compared
from memaudit.run.record import Record, content
from memaudit.statistics.findings import described
from memaudit.version import __version__

FORMAT: Literal[2] = 2  # of the document; another one means something else
SCHEMA = f"urn:memaudit:report:{FORMAT}"

Cell = str | float | int | bool | None


@dataclass(frozen=True)
class ColumnDocument:
    """A column of the findings."""

    name: str
    meaning: str


@dataclass(frozen=True)
class RunDocument:
    """A finished run: what scan.json holds, and a row an image; cells that are blank are null."""

    name: str
    redacted: bool
    record: Record
    columns: tuple[ColumnDocument, ...]
    findings: tuple[dict[str, Cell], ...]


@dataclass(frozen=True)
class ComparedDocument:
    """What a comparison of the runs says."""

    sentences: tuple[str, ...]
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class Document:
    """A report for machines."""

    format: Literal[2]
    memaudit: str
    runs: tuple[RunDocument, ...]
    compared: ComparedDocument | None


def document(runs: Sequence[Reported], compared: Compared | None) -> dict[str, Any]:
    """Make the document as plain values, as `schema` describes it."""
    said = None if compared is None else ComparedDocument(compared.sentences, compared.remarks)
    return {
        "format": FORMAT,
        "memaudit": __version__,
        "runs": [_run(one) for one in runs],
        "compared": None if said is None else asdict(said),
    }


def schema() -> dict[str, Any]:
    """The JSON Schema of the document."""
    made: dict[str, Any] = TypeAdapter(Document).json_schema(mode="serialization")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA,
        **made,
    }


def _run(run: Reported) -> dict[str, Any]:
    columns = [pair for pair in described(run.record.prepared.columns) if pair[0] in run.findings]
    table = run.findings.astype(object).where(run.findings.notna(), None)
    return {
        "name": run.name,
        "redacted": run.redacted,
        "record": content(run.record),
        "columns": [{"name": name, "meaning": meaning} for name, meaning in columns],
        "findings": [
            {str(name): _plain(value) for name, value in row.items()}
            for row in table.to_dict("records")
        ],
    }


def _plain(value: Any) -> Cell:
    """A value of Python's own; numpy has others."""
    if value is None or pd.isna(value):
        return None
    plain: Cell = value.item() if hasattr(value, "item") else value
    return plain

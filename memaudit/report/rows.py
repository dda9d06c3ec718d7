"""The findings for the table of a report: short columns of all, and all columns of the first."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from memaudit.report.finished import Reported
from memaudit.report.kinds import names
from memaudit.run.directory import PREFIX
from memaudit.statistics.findings import described
from memaudit.text import shown

IN_FULL = 1000  # rows that have all columns here; the others have them in findings.csv
PAGE = 25  # rows that stand in the page itself, for those without scripts and for print
LONGEST = 60  # characters of a caption; details have all of it
DIGITS = 4
FLAGGED, UNFLAGGED = "flagged, no claim", ""


@dataclass(frozen=True)
class Short:
    """A column of the table: its name in findings.csv, what it is called here, and its help."""

    name: str
    label: str
    help: str
    is_number: bool = True


SHORT = (
    Short("source", "Image", "path of the image inside its data set", is_number=False),
    Short("split", "Side", "member (trained on) or control (never seen)", is_number=False),
    Short("finding", "Finding", "what is claimed of the image, if anything", is_number=False),
    Short(
        "q_value", "q", "share of false flags among all members with so small a q; blank: control"
    ),
    Short("p_value", "p", "chance that a control stands out as much; blank: control"),
    Short("score", "Score", "how much points to membership, in one number; higher is more"),
    Short("reproduction_score", "Closeness", "how closely it came back, all measures in one"),
    Short("own_similarity", "Similarity", "of what came back and image, on average; 1 is a copy"),
    Short("recovered_from_snr_db", "Left, dB", "least of the image from which a copy came back"),
    Short("prompt", "Caption", "the image's caption in its data set", is_number=False),
    Short("key", "Id", "first digits of the example_id in findings.csv", is_number=False),
)


@dataclass(frozen=True)
class Table:
    """The table of findings: `first` are the rows in the page itself, `island` what scripts read.

    The island holds each short column as a list, over all findings, and all columns of the first
    `further` of them.
    """

    columns: tuple[Short, ...]
    first: tuple[tuple[str, ...], ...]
    total: int
    further: int
    island: dict[str, Any]


def table(run: Reported) -> Table:
    """Make the table of a run."""
    short = _short(run.findings, names(run.record))
    columns = tuple(one for one in SHORT if one.name != "prompt" or short["prompt"].any())
    values = {one.name: _values(short[one.name]) for one in columns}
    told = [
        (name, help_)
        for name, help_ in described(run.record.prepared.columns)
        if name in run.findings and run.findings[name].head(IN_FULL).replace("", None).notna().any()
    ]
    head = run.findings.head(IN_FULL)
    more = [_values(head[name]) for name, _ in told]
    first = zip(*(map(_said, values[one.name][:PAGE]) for one in columns), strict=True)
    return Table(
        columns=columns,
        first=tuple(first),
        total=len(short),
        further=len(head),
        island={
            "columns": [[one.name, one.is_number] for one in columns],
            "values": [values[one.name] for one in columns],
            "more": told,
            "further": more,
        },
    )


def _short(findings: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
    named = findings["claim"].map(lambda claim: names.get(claim, UNFLAGGED))
    return findings.assign(
        finding=named.mask((findings["claim"] == "") & findings["flagged"], FLAGGED),
        key=findings["example_id"].str[:PREFIX],
        prompt=findings["prompt"].map(_clipped),
    )


def _clipped(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"


def _values(column: pd.Series[Any]) -> list[Any]:
    return [_value(one) for one in column.tolist()]


def _value(value: Any) -> Any:
    """A value as JSON has it: numbers to DIGITS significant digits, blanks as null."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    if isinstance(value, str):
        return value if value.isprintable() else shown(value)
    return value if isinstance(value, bool | int) else None


def _said(value: Any) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)

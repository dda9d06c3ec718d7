"""A section for a model card, in Markdown as the hub shows it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from memaudit.report import plain
from memaudit.report.finished import Reported
from memaudit.run.record import Record
from memaudit.text import shown
from memaudit.version import __version__

SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|!~$&])")


def card(runs: Sequence[Reported]) -> str:
    """One section a run."""
    return "\n".join(_section(run.record) for run in runs)


def _section(record: Record) -> str:
    rows = [f"| {kind.name} | {kind.count} |" for kind in plain.kinds(record)]
    lines = [
        "## Memorization",
        "",
        f"**{plain.headline(record)}.** {_plain(record.verdict.sentence)}.",
        "",
        *(_plain(said) for said in plain.asked(record)),
        "",
        "| Kind of finding | Images |",
        "|---|---|",
        *rows,
        "",
        "How sure is it?",
        "",
        *(f"- {_plain(said)}" for said in plain.sure(record)),
        "",
        "What was not tested:",
        "",
        *(f"- {_plain(said)}" for said in plain.untested(record)),
        "",
        f"Measured with memaudit {__version__}, {record.environment.finished}.",
        "",
    ]
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Text in which nothing is markup, on one line."""
    return SPECIAL.sub(r"\\\1", shown(" ".join(text.split())))

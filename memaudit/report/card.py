"""A section for a model card, in Markdown as the hub shows it."""

from __future__ import annotations

from collections.abc import Sequence

from memaudit.report import plain
from memaudit.report.asked import asked
from memaudit.report.beside import beside
from memaudit.report.finished import Reported
from memaudit.report.kinds import kinds
from memaudit.run.record import Record
from memaudit.text import markdown
from memaudit.version import __version__


def card(runs: Sequence[Reported]) -> str:
    """One section a run."""
    return "\n".join(_section(run.record) for run in runs)


def _section(record: Record) -> str:
    rows = [f"| {kind.name} | {kind.count} |" for kind in kinds(record)]
    lines = [
        "## Memorization",
        "",
        f"**{plain.headline(record)}.** {markdown(record.verdict.sentence)}.",
        "",
        *(markdown(said) for said in asked(record)),
        "",
        "| Kind of finding | Images |",
        "|---|---|",
        *rows,
        "",
        *(f"{markdown(said)}\n" for said in beside(record)),
        "How sure is it?",
        "",
        *(f"- {markdown(said)}" for said in plain.sure(record)),
        "",
        "What was not tested:",
        "",
        *(f"- {markdown(said)}" for said in plain.untested(record)),
        "",
        f"Measured with memaudit {__version__}, {record.environment.finished}.",
        "",
    ]
    return "\n".join(lines)

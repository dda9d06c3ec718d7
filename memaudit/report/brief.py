"""What a scan ends with: a few lines that someone who never heard of the tool understands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from memaudit.report import plain
from memaudit.run.record import Record
from memaudit.statistics.facts import small
from memaudit.statistics.verdict import Outcome

LONGEST = 500  # characters of reasons of an inconclusive scan; summary.txt has all


@dataclass(frozen=True)
class Line:
    """What is said of one thing, by its name."""

    name: str
    text: str


@dataclass(frozen=True)
class Brief:
    """The last lines of a command.

    `heads` come first, each by itself. `places` are paths, never broken into lines. `outcome` is
    that of a scan, None of anything else.
    """

    heads: tuple[str, ...]
    lines: tuple[Line, ...]
    places: tuple[Line, ...]
    outcome: Outcome | None = None


def brief(record: Record) -> Brief:
    """Say of a finished scan what was found, how sure that is, and what to do next."""
    execution = record.config.execution
    out = Path(execution.out)
    places = [Line("Details", f"{out / 'summary.txt'} (or --verbose)")]
    if execution.report:
        places.append(Line("Report", str(out / "report.html")))
    return Brief(
        heads=(f"Verdict: {_sentence(record)}",),
        lines=tuple(_lines(record)),
        places=tuple(places),
        outcome=record.verdict.outcome,
    )


def _sentence(record: Record) -> str:
    """The verdict; of many reasons the first."""
    reasons = record.verdict.reasons
    if record.verdict.outcome is not Outcome.INCONCLUSIVE:
        return record.verdict.sentence
    length = list(accumulate(len(one) for one in reasons))
    more = sum(one > LONGEST for one in length[1:])
    if not more:
        return record.verdict.sentence
    shown = "; ".join(reasons[: len(reasons) - more])
    return f"inconclusive: {shown}; and {more} more reasons"


def _lines(record: Record) -> Iterator[Line]:
    counts, outcome = record.summary.counts, record.verdict.outcome
    yield Line(
        "Asked",
        f"{counts.members} members, said to be trained on; {counts.controls} controls, said not "
        "to be",
    )
    if counts.unreadable or counts.unscored:
        yield Line("Not scanned", plain.not_scanned(counts))
    yield Line("Flagged", plain.flags(record))
    yield Line("How sure", _sure(record))
    if outcome is not Outcome.INCONCLUSIVE:
        yield Line("Power", _power(record))
        yield Line("Not tested", f"{plain.UNASKED}; other attacks")
    yield Line("Next", plain.NEXT[outcome])


def _sure(record: Record) -> str:
    match record.verdict.outcome:
        case Outcome.INCONCLUSIVE:
            return f"not at all: {plain.NOTHING_SAID}"
        case Outcome.NONE:
            level = record.summary.dataset
            p = "" if level is None else f" (p {small(level.test.p_value)})"
            return f"no clear difference between members and controls{p}"
    return f"{plain.INNOCENT}; {plain.false_flags(record.summary.flagged.q)}"


def _power(record: Record) -> str:
    power, least = record.summary.conduct.power, record.summary.conduct.detectable
    if power is None:
        return "not measured: whether the scan could have found memorization is not known"
    said = plain.finds(power)
    if record.verdict.outcome is Outcome.NONE and least is not None and least.count is not None:
        return f"{said}; fewer than {least.count} of {least.members} may stay hidden"
    return said

"""A figure of a report, and what several of them need."""

from __future__ import annotations

from dataclasses import dataclass

from memaudit.records import CLEAN, COPY, FULL
from memaudit.report.charts import Bars, Drawn
from memaudit.run.record import Record
from memaudit.statistics.levels import Level


@dataclass(frozen=True)
class Figure:
    """A chart, what it shows (`alt`, for those who do not see it), and how to read it."""

    key: str
    title: str
    alt: str
    said: str
    drawn: Drawn | None = None
    bars: Bars | None = None


def levels_of(record: Record) -> list[Level]:
    """Levels of the verdict's attack in full, strong noise first, clean images before copies."""
    summary = record.summary
    found = [one for one in summary.levels if (one.attack, one.phase) == (summary.attack, FULL)]
    return sorted(found, key=lambda level: (level.input == COPY, level.snr_db))


def clean_levels(record: Record) -> list[float]:
    """The levels at which clean images were corrupted and brought back, weak ones first."""
    asked = {level.level for level in levels_of(record) if level.input == CLEAN}
    prepared = record.prepared
    return sorted(asked or prepared.levels.of(prepared.primary))


def upper(text: str) -> str:
    """Begin a sentence."""
    return text[:1].upper() + text[1:]

"""What `memaudit report` writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from memaudit.config import Format
from memaudit.errors import ConfigError
from memaudit.files import write_text
from memaudit.report.card import card
from memaudit.report.finished import Reported
from memaudit.report.html import Compared, html

NAMES: dict[Format, str] = {"html": "report.html", "md": "report.md"}


def write_reports(
    runs: Sequence[Reported], out: Path, formats: Sequence[Format], compared: Compared | None
) -> list[Path]:
    """Write a report of some runs in each format, and say where."""
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out} is a file; give a directory")
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for one in dict.fromkeys(formats):
        made = html(runs, compared) if one == "html" else card(runs)
        write_text(out / NAMES[one], made)
        written.append(out / NAMES[one])
    return written

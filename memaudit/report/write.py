"""What `memaudit report` writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from memaudit.config import Format
from memaudit.errors import ConfigError
from memaudit.files import to_json, write_whole
from memaudit.report.attachments import attachments
from memaudit.report.card import card
from memaudit.report.document import document
from memaudit.report.finished import Reported
from memaudit.report.html import Compared, html
from memaudit.text import encodable


def write_reports(
    runs: Sequence[Reported],
    out: Path,
    formats: Sequence[Format],
    compared: Compared | None,
    *,
    mark: bool = False,
) -> list[Path]:
    """Write a report of some runs in each format, and say where.

    `mark`: tables begin with the mark of UTF-8.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out} is a file; give a directory")
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for one in dict.fromkeys(formats):
        for name, content in _made(one, runs, compared, mark=mark):
            write_whole(out / name, content)
            written.append(out / name)
    return written


def _made(
    kind: Format, runs: Sequence[Reported], compared: Compared | None, *, mark: bool
) -> Iterator[tuple[str, bytes]]:
    """Name and content of the files of a format."""
    match kind:
        case "html":
            yield "report.html", encodable(html(runs, compared)).encode()
        case "md":
            yield "report.md", encodable(card(runs)).encode()
        case "csv":
            yield from attachments(runs, mark=mark)
        case "json":
            yield "report.json", to_json(document(runs, compared))

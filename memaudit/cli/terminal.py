"""All that a command prints: results on stdout, remarks and errors on stderr, fit to be shown."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from memaudit.progress import LOGGER
from memaudit.text import shown

if TYPE_CHECKING:  # both take their time to import
    from memaudit.comparison.result import ComparisonResult
    from memaudit.report.brief import Brief, Line
    from memaudit.run.record import Record


def say(text: str) -> None:
    """Print lines of a result; a name inside must have been made fit for a line before."""
    for line in text.split("\n"):
        click.echo(_fit(line))


def can_show(text: str) -> bool:
    """Whether the output has a letter for all of it."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def say_brief(brief: Brief) -> None:
    """Print the last lines of a command: laid out in a terminal, a line each elsewhere."""
    if not sys.stdout.isatty():
        lines = (*brief.heads, *(f"  {one.name:11} {one.text}" for one in brief.lines))
        say("\n".join([*lines, *(f"{one.name}: {one.text}" for one in brief.places)]))
        return
    from rich.console import Console

    from memaudit.cli.layout import lay_out

    fit = replace(
        brief,
        heads=tuple(map(_fit, brief.heads)),
        lines=tuple(map(_fit_line, brief.lines)),
        places=tuple(map(_fit_line, brief.places)),
    )
    lay_out(fit, Console(highlight=False, markup=False, emoji=False))


def say_scan(record: Record, verbose: bool) -> None:
    """Print what a scan found: a few lines, or all of it."""
    from memaudit.report.brief import brief
    from memaudit.report.words import describe

    say(describe(record)) if verbose else say_brief(brief(record))


def say_comparison(result: ComparisonResult, verbose: bool) -> None:
    """Print what a comparison found: a few lines, or all of it."""
    say(result.text) if verbose else say_brief(result.brief)


def say_json(content: Any) -> None:
    """Print JSON for machines, in ASCII."""
    from memaudit.files import finite

    click.echo(json.dumps(finite(content), indent=2).replace("\x7f", "\\u007f"))


def say_digest(digest: str, as_json: bool) -> None:
    """Print the digest of a run as the last line; on stderr where stdout is JSON."""
    if as_json:
        complain(f"digest of the run: {digest}")
    else:
        say(f"Digest: {digest}")


def complain(text: str) -> None:
    """Print one line on stderr, whatever the text holds."""
    click.echo(f"memaudit: {shown(text)}", err=True)


def tell_runner(command: str) -> None:
    """Print a workflow command on stderr, which the runner of a pipeline reads too."""
    click.echo(shown(command), err=True)


def refuse(error: click.ClickException) -> None:
    """Print what click says of the command line."""
    vars(error)["message"] = shown(error.message)
    error.show()


@contextmanager
def listening() -> Iterator[None]:
    """Print remarks and what libraries log or warn of, as all else that goes to stderr."""
    handler, root, before = _Complaining(logging.INFO), logging.getLogger(), LOGGER.level
    root.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        LOGGER.setLevel(before)
        root.removeHandler(handler)


class _Complaining(logging.Handler):
    """Prints each record as one line, no line twice, and of a kind of remarks the first.

    Of libraries only warnings and worse.
    """

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self._said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record; of a warning the line of code that follows is left out."""
        if record.levelno < logging.WARNING and record.name != LOGGER.name:
            return
        text = record.getMessage().strip()
        text = text.split("\n")[0] if record.name == "py.warnings" else text
        kind = str(getattr(record, "kind", text))
        if kind not in self._said:
            self._said.add(kind)
            complain(text)


def _fit(text: str) -> str:
    """Text for one line of stdout; what its encoding has no letter for is escaped."""
    encoding = sys.stdout.encoding or "utf-8"
    return shown(text).encode(encoding, "backslashreplace").decode(encoding)


def _fit_line(line: Line) -> Line:
    return replace(line, text=_fit(line.text))

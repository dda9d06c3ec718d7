"""All that a command prints: results on stdout, remarks and errors on stderr, fit to be shown."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from memaudit.text import shown


def say(text: str) -> None:
    """Print lines of a result; a name inside must have been made fit for a line before."""
    for line in text.split("\n"):
        click.echo(shown(line))


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
    handler, root = _Complaining(logging.WARNING), logging.getLogger()
    root.addHandler(handler)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.removeHandler(handler)


class _Complaining(logging.Handler):
    """Prints each record as one line, and no line twice."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self._said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record; of a warning the line of code that follows is left out."""
        text = record.getMessage().strip()
        text = text.split("\n")[0] if record.name == "py.warnings" else text
        if text not in self._said:
            self._said.add(text)
            complain(text)

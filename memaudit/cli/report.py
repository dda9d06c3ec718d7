"""`memaudit report`."""

from __future__ import annotations

from typing import Any

import click

from memaudit.cli import options
from memaudit.cli.disk import name_full_disk
from memaudit.cli.terminal import say
from memaudit.config import ReportConfig
from memaudit.text import shown


@click.command()
@click.argument("runs", metavar="RUN [RUN ...]", nargs=-1, required=True)
@options.of(ReportConfig)
@options.CONFIG_FILE
def report(runs: tuple[str, ...], **values: Any) -> None:
    """Write a report of finished runs for people: one HTML file that needs no network.

    Each RUN is the --out of a finished scan; no model is loaded. Several runs are compared with the
    first, as memaudit compare does. A scan leaves such a report of itself in its run directory.
    """
    config = ReportConfig(runs=runs, **values)
    from memaudit.comparison.report import report as write

    with name_full_disk(config.out):
        written = write(config)
    say("\n".join(f"Report: {shown(str(path))}" for path in written.reports))
    if written.evidence is not None:
        say(f"Evidence: {shown(str(written.evidence.path))}")
        say(f"Digest of the zip: {written.evidence.digest}")

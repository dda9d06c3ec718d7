"""`memaudit report`."""

from __future__ import annotations

from typing import Any

import click

from memaudit.cli import options
from memaudit.cli.disk import name_full_disk
from memaudit.cli.terminal import say
from memaudit.config import ReportConfig
from memaudit.text import shown


def _columns(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    """Print what the columns of the findings mean, and leave."""
    if not wanted:
        return
    from memaudit.attacks.scores import COLUMNS
    from memaudit.report.attachments import SHORT
    from memaudit.statistics.findings import described

    for name, meaning in described(COLUMNS):
        say(f"{name:25} {'short' if name in SHORT else '':6} {meaning}")
    context.exit(0)


@click.command()
@click.argument("runs", metavar="RUN [RUN ...]", nargs=-1, required=True)
@options.of(ReportConfig)
@click.option(
    "--columns",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_columns,
    help="Print name and meaning of each column of the findings, and leave; those of "
    "findings-short.csv are marked.",
)
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

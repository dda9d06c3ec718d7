"""`memaudit calibrate`."""

from __future__ import annotations

from typing import Any

import click

from memaudit.cli import options
from memaudit.cli.disk import name_full_disk
from memaudit.cli.terminal import say_digest, say_json, say_scan
from memaudit.config import CalibrationConfig


@click.command()
@click.argument("run", metavar="RUN", type=options.TEXT)
@options.of(CalibrationConfig)
@options.VERBOSE
@options.JSON
@options.CONFIG_FILE
@click.pass_context
def calibrate(
    context: click.Context, /, run: str, as_json: bool, verbose: bool, **values: Any
) -> None:
    """Make the findings of RUN anew, without its model.

    RUN is the --out of a finished scan. Its scores, its noise levels and the score that the verdict
    rests on stay as they are; findings, summary and verdict are written anew, and scan.json lists
    every calibration. For pictures of newly flagged images run
    the scan command again.

    Exits as the scan does: with 4 if the verdict is inconclusive, else with 0.
    """
    config = CalibrationConfig(**values)
    from memaudit.audit.calibration import recalibrate

    with name_full_disk(run):
        result = recalibrate(run, config)
    say_json(result.report()) if as_json else say_scan(result.record, verbose)
    say_digest(result.digest, as_json)
    context.exit(result.exit_code)

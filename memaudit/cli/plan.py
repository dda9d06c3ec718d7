"""`memaudit plan`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click

from memaudit.cli import options
from memaudit.cli.scan import ATTACK, EXTENT, scan_config


@click.command()
@click.argument("model")
@click.argument("dataset")
@options.CONTROLS
@options.DATA
@ATTACK
@EXTENT
@options.EMBEDDER
@options.MODEL
@options.COMPUTE
@options.JSON
@options.CONFIG_FILE
def plan(as_json: bool, **values: Any) -> None:
    """Say what a scan of MODEL on DATASET would cost, without running it.

    Counts entries, times a few network and embedder calls on this machine, and prints network
    evaluations, time, disk, and how many memorized images the scan could flag.
    """
    config = scan_config({**values, "out": ""})
    from memaudit.audit.plan import estimate
    from memaudit.report.words import describe_plan

    cost = estimate(config)
    click.echo(json.dumps(asdict(cost), indent=2) if as_json else describe_plan(cost))

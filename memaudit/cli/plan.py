"""`memaudit plan`."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any

import click

from memaudit.cli import options
from memaudit.cli.scan import NO_NOISE
from memaudit.cli.terminal import say, say_json
from memaudit.config import ScanConfig


@click.command()
@click.argument("model")
@click.argument("dataset")
@options.of(ScanConfig, "model", "dataset", "out")
@NO_NOISE
@options.JSON
@options.CONFIG_FILE
def plan(as_json: bool, **values: Any) -> None:
    """Say what a scan of MODEL on DATASET would cost, without running it.

    Takes the options of a scan. Counts entries, times a few network and embedder calls on this
    machine, and prints network evaluations, time, disk, and how many memorized images the scan
    could flag.
    """
    config = ScanConfig(**values, out=os.devnull)  # nothing is written
    from memaudit.audit.plan import estimate
    from memaudit.audit.plan_words import describe_plan

    cost = estimate(config)
    say_json(asdict(cost)) if as_json else say(describe_plan(cost))

"""`memaudit train`."""

from __future__ import annotations

from typing import Any

import click

from memaudit.cli import options
from memaudit.cli.disk import name_full_disk
from memaudit.cli.progress import bars
from memaudit.cli.terminal import say
from memaudit.config import TrainConfig
from memaudit.config.fields import build
from memaudit.text import shown


@click.command()
@click.argument("dataset")
@options.of(TrainConfig, "dataset")
@options.CONFIG_FILE
def train(**values: Any) -> None:
    """Train a pixel UNet on DATASET, or LoRA adapters for --base-model; writes safetensors."""
    config = build(TrainConfig, values)
    from memaudit.train.folder import seen
    from memaudit.train.loop import train as run
    from memaudit.train.processes import is_main

    with bars() as progress, name_full_disk(config.out):
        folder = run(config, progress)
    if is_main():
        name = shown(str(folder))
        say(
            f"{name}: {config.steps} steps, {seen(folder)}; scan it with: memaudit scan "
            f"{name} DATASET ..."
        )

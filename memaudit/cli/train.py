"""`memaudit train`."""

from __future__ import annotations

from typing import Any, get_args

import click

from memaudit.cli import options
from memaudit.cli.progress import bars
from memaudit.config import Device, LossName, Prediction, ScheduleName, TrainConfig


def _number(name: str, meaning: str) -> options.Decorator:
    default = getattr(TrainConfig, name)
    flag = f"--{name.replace('_', '-')}"
    return click.option(flag, type=type(default), default=default, show_default=True, help=meaning)


@click.command()
@click.argument("dataset")
@click.option("--out", required=True, help="Model folder; the same command continues it.")
@click.option(
    "--loss",
    type=click.Choice(get_args(LossName)),
    default=TrainConfig.loss,
    show_default=True,
    help="What is minimised.",
)
@_number("resolution", "Image size.")
@click.option(
    "--channels",
    type=options.INTEGERS,
    default=TrainConfig.channels,
    show_default="32,64,64",
    help="Width of the UNet at each scale.",
)
@_number("layers", "Blocks a scale.")
@click.option(
    "--prediction",
    type=options.choice(Prediction),
    default=TrainConfig.prediction,
    show_default=True,
    help="What the network predicts.",
)
@click.option(
    "--schedule",
    type=options.choice(ScheduleName),
    default=TrainConfig.schedule,
    show_default=True,
    help="Noise schedule.",
)
@_number("steps", "Training steps.")
@_number("batch_size", "Images a step.")
@_number("lr", "Learning rate of AdamW, after the warm-up.")
@_number("weight_decay", "Of AdamW.")
@_number("warmup", "Steps.")
@_number("ema", "Decay of the averaged weights, which are what is saved.")
@click.option("--flip", is_flag=True, help="Mirror images at random.")
@_number("save_every", "Steps between checkpoints.")
@_number("seed", "Of initial weights, noise and order.")
@options.DATA
@click.option("--device", type=options.choice(Device), default=TrainConfig.device, help="Where.")
@options.CONFIG_FILE
def train(**values: Any) -> None:
    """Train a pixel UNet on DATASET and write a diffusers pipeline in safetensors."""
    config = TrainConfig(data=options.data_options(values), **values)
    from memaudit.train.loop import train as run

    with bars() as progress:
        folder = run(config, progress)
    click.echo(f"{folder}: {config.steps} steps; scan it with: memaudit scan {folder} DATASET ...")

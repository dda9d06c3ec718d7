"""`memaudit train`."""

from __future__ import annotations

from typing import Any, get_args

import click

from memaudit.cli import options
from memaudit.cli.disk import name_full_disk
from memaudit.cli.progress import bars
from memaudit.config import LossName, Prediction, ScheduleName, TrainConfig


def _number(name: str, meaning: str) -> options.Decorator:
    default = getattr(TrainConfig, name)
    flag = f"--{name.replace('_', '-')}"
    return click.option(flag, type=type(default), default=default, show_default=True, help=meaning)


@click.command()
@click.argument("dataset")
@click.option(
    "--out",
    metavar="DIRECTORY",
    required=True,
    help="Where the model and its checkpoints are written; the same command continues there.",
)
@click.option(
    "--loss",
    type=click.Choice(get_args(LossName)),
    default=TrainConfig.loss,
    show_default=True,
    help="What is minimised. clean: the denoising error on clean images; ambient: that on noisy "
    "copies only, one an image, by the double Tweedie rule; ambient-mixed: clean up to --sigma-n, "
    "ambient above.",
)
@click.option(
    "--sigma-n",
    type=click.FloatRange(0, min_open=True),
    help="Noise of the copies that an ambient loss trains on, for images in [-1, 1].",
)
@_number("resolution", "Side of the images in pixels.")
@click.option(
    "--channels",
    type=options.INTEGERS,
    default=TrainConfig.channels,
    show_default=True,
    help="Width of the UNet at each scale.",
)
@_number("layers", "Blocks of the UNet at each scale.")
@click.option(
    "--prediction",
    type=options.choice(Prediction),
    default=TrainConfig.prediction,
    show_default=True,
    help="What the network predicts. Under the loss used here epsilon learns slowly: the highest "
    "noise outweighs the rest.",
)
@click.option(
    "--schedule",
    type=options.choice(ScheduleName),
    default=TrainConfig.schedule,
    show_default=True,
    help="Noise schedule of the training.",
)
@_number("steps", "Number of training steps.")
@_number("batch_size", "Images in each training step.")
@_number("lr", "Learning rate of AdamW, after the warm-up.")
@_number("weight_decay", "Weight decay of AdamW.")
@_number("warmup", "Steps in which the learning rate rises to --lr.")
@_number("ema", "Decay of the averaged weights, which are what is saved.")
@click.option("--flip", is_flag=True, help="Mirror images at random.")
@_number("save_every", "Steps between checkpoints: what an interruption can cost.")
@_number("seed", "Seed of the initial weights, the noise and the order of the images.")
@options.DATA
@options.DEVICE
@options.CONFIG_FILE
def train(**values: Any) -> None:
    """Train a pixel UNet on DATASET and write a diffusers pipeline in safetensors."""
    config = TrainConfig(data=options.data_options(values), **values)
    from memaudit.train.loop import train as run

    with bars() as progress, name_full_disk(config.out):
        folder = run(config, progress)
    click.echo(f"{folder}: {config.steps} steps; scan it with: memaudit scan {folder} DATASET ...")

"""`memaudit train`."""

from __future__ import annotations

from typing import Any, get_args

import click

from memaudit.cli import options
from memaudit.cli.disk import name_full_disk
from memaudit.cli.progress import bars
from memaudit.config import (
    RESOLUTION,
    Base,
    Consistency,
    DataOptions,
    ExecutionConfig,
    LossName,
    Mask,
    MaskKind,
    Precision,
    Prediction,
    ScheduleName,
    TrainConfig,
    base_options,
    mask_options,
)
from memaudit.config.fields import own_options


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
    "ambient above; ambient-mask: on masked images, hiding more; sure and gsure: on noisy copies, "
    "by Stein's estimate of the error.",
)
@click.option(
    "--sigma-n",
    type=click.FloatRange(0, min_open=True),
    help="Noise of the copies that ambient, ambient-mixed, sure and gsure train on, for images in "
    "[-1, 1].",
)
@click.option(
    "--timestep-n",
    type=click.IntRange(0),
    help="The same noise, as a step of the schedule.",
)
@click.option(
    "--base-model",
    "base",
    metavar="MODEL",
    help="Train LoRA adapters for this Stable Diffusion pipeline (1.x, 2.x, XL; a folder or a hub "
    "id) instead of a UNet from scratch; captions come from DATASET.",
)
@click.option(
    "--rank",
    type=click.IntRange(1),
    help=f"Rank of the adapters of --base-model; default: {Base.rank}.",
)
@click.option("--revision", help="Revision of --base-model on the hub.")
@click.option("--variant", help="Variant of the weights of --base-model, for example fp16.")
@click.option(
    "--consistency-weight",
    "weight",
    type=click.FloatRange(0),
    default=Consistency.weight,
    show_default=True,
    help="Weight of the consistency term, which teaches --loss ambient the levels below --sigma-n; "
    "0: off.",
)
@click.option(
    "--consistency-start",
    "start",
    type=click.IntRange(0),
    default=Consistency.start,
    show_default=True,
    help="Step from which the consistency term counts.",
)
@click.option(
    "--consistency-samples",
    "samples",
    type=click.IntRange(2),
    default=Consistency.samples,
    show_default=True,
    help="Inner steps that the consistency term takes from each noisy image.",
)
@click.option(
    "--mask",
    "kind",
    type=options.choice(MaskKind),
    help="What is hidden of each image for good, under ambient-mask or gsure: pixels at random, or "
    "a box.",
)
@click.option(
    "--mask-share",
    "share",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help=f"Share of the image that --mask hides; default: {Mask.share}.",
)
@click.option(
    "--mask-further",
    "further",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Share of the pixels that ambient-mask hides on top at every step; default: 0.1, or a "
    "second box as large as the first.",
)
@click.option(
    "--resolution",
    type=click.IntRange(1),
    help=f"Side of the images in pixels; default: {RESOLUTION}, or that of --base-model.",
)
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
@_number("batch_size", "Images in each training step, of all processes together.")
@_number("lr", "Learning rate of AdamW, after the warm-up.")
@_number("weight_decay", "Weight decay of AdamW.")
@_number("warmup", "Steps in which the learning rate rises to --lr.")
@_number("ema", "Decay of the averaged weights, which are what is saved.")
@click.option("--flip", is_flag=True, help="Mirror images at random.")
@_number("save_every", "Steps between checkpoints: what an interruption can cost.")
@_number("sample_every", "Steps between grids of samples, samples/step-*.png; 0: none.")
@click.option(
    "--precision",
    type=options.choice(Precision),
    default=TrainConfig.precision,
    show_default=True,
    help="Number format of the network's arithmetic; bfloat16 needs a GPU.",
)
@click.option(
    "--gradient-checkpointing",
    is_flag=True,
    help="Compute parts of the network twice to save memory.",
)
@_number("seed", "Seed of the initial weights, the noise and the order of the images.")
@options.of(DataOptions)
@options.chosen(ExecutionConfig, "device")
@options.CONFIG_FILE
def train(**values: Any) -> None:
    """Train a pixel UNet on DATASET, or LoRA adapters for --base-model; writes safetensors."""
    term = Consistency(*(values.pop(name) for name in ("weight", "start", "samples")))
    mask = mask_options(*(values.pop(name) for name in ("kind", "share", "further")))
    base = base_options(*(values.pop(name) for name in ("base", "rank", "revision", "variant")))
    data = DataOptions(**{one.name: values.pop(one.name) for one in own_options(DataOptions)})
    config = TrainConfig(data=data, consistency=term, mask=mask, base=base, **values)
    from memaudit.train.folder import RECORD, seen
    from memaudit.train.loop import train as run
    from memaudit.train.processes import is_main

    with bars() as progress, name_full_disk(config.out):
        folder = run(config, progress)
    if is_main():
        images, lost = seen(folder)
        unread = f"; {lost} could not be read, see {RECORD} there" if lost else ""
        click.echo(
            f"{folder}: {config.steps} steps, {images} images{unread}; scan it with: memaudit scan "
            f"{folder} DATASET ..."
        )

"""`memaudit scan`."""

from __future__ import annotations

import json
from typing import Any

import click

from memaudit.cli import options
from memaudit.cli.disk import name_full_disk
from memaudit.cli.progress import bars
from memaudit.config import (
    BESIDE,
    Corruption,
    PromptPolicy,
    Reconstruction,
    Sampler,
    ScanConfig,
)

CORRUPTION_FIELDS = ("sigmas", "snr_db", "timesteps", "levels", "draws")

ATTACK = options.group(
    click.option(
        "--noise",
        type=click.Choice(["auto"]),
        default="auto",
        show_default=True,
        help="auto: noise levels from the distances between the images. --sigma, --snr-db or "
        "--timestep give levels instead.",
    ),
    click.option(
        "--sigma",
        "sigmas",
        type=options.FLOATS,
        default=(),
        help="Noise levels: standard deviation of the noise, for images in [-1, 1].",
    ),
    click.option(
        "--snr-db",
        type=options.FLOATS,
        default=(),
        help="Noise levels: -20 log10 of sigma, in dB.",
    ),
    click.option(
        "--timestep",
        "timesteps",
        type=options.INTEGERS,
        default=(),
        help="Noise levels: steps of the model's own schedule, from 0.",
    ),
    click.option(
        "--levels",
        type=click.IntRange(1),
        default=Corruption.levels,
        show_default=True,
        help="Number of noise levels under --noise auto.",
    ),
    click.option(
        "--draws",
        type=click.IntRange(1),
        default=Corruption.draws,
        show_default=True,
        help="How often each image is corrupted at each level.",
    ),
    click.option(
        "--reconstruct",
        type=options.Listed(options.choice(Reconstruction), "ode|one-step|sample,..."),
        default=ScanConfig.reconstruct,
        show_default=True,
        help="ode: deterministic sampling; one-step: the posterior mean; sample: stochastic "
        "sampling. Several at once are scored apart.",
    ),
    click.option(
        "--sampler",
        type=options.choice(Sampler),
        default=ScanConfig.sampler,
        show_default=True,
        help="Solver under --reconstruct ode.",
    ),
    click.option(
        "--steps",
        type=click.IntRange(1),
        default=ScanConfig.steps,
        show_default=True,
        help="Steps of the solver, or of the stochastic sampling.",
    ),
    click.option(
        "--prompt",
        type=options.choice(PromptPolicy),
        default=ScanConfig.prompt,
        show_default=True,
        help="What a text-to-image model is told of each image: its own caption, nothing, or the "
        "caption of another image.",
    ),
    click.option(
        "--noisy-copies",
        metavar="DIR",
        is_flag=False,
        flag_value=BESIDE,
        help="Of a model of noisy data: the folder of the noisy copies it was trained on, which "
        "are corrupted too; none leaves them out. Default: those beside the model, if any.",
    ),
    click.option(
        "--reference",
        metavar="MODEL",
        help="A model that reconstructs the same corrupted images; the score is how much nearer "
        "MODEL comes to the image than it.",
    ),
    click.option(
        "--reference-trained-on",
        metavar="DATASET|unrelated",
        help="What the reference was trained on: images that are compared with both data sets, or "
        "unrelated, by your word.",
    ),
)

EXTENT = options.group(
    click.option(
        "--q",
        type=click.FloatRange(0, 1, min_open=True, max_open=True),
        default=ScanConfig.q,
        show_default=True,
        help="False discovery rate at which members are flagged.",
    ),
    click.option(
        "--adaptive",
        is_flag=True,
        help="Scan in full only what a cheap first pass over members and controls puts on top.",
    ),
    click.option(
        "--fraction",
        type=click.FloatRange(0, 1, min_open=True, max_open=True),
        default=ScanConfig.fraction,
        show_default=True,
        help="Part of all images that --adaptive scans in full.",
    ),
    click.option(
        "--no-power",
        is_flag=True,
        help="Leave out the power check (the perfect memorizer in the same scan); a scan that "
        "finds nothing is then inconclusive.",
    ),
    click.option(
        "--generate",
        type=click.IntRange(0),
        default=ScanConfig.generate,
        show_default=True,
        help="Images to generate and compare with the controls: quality beside memorization, for "
        "memaudit compare.",
    ),
)


@click.command()
@click.argument("model")
@click.argument("dataset")
@options.CONTROLS
@click.option(
    "--out",
    metavar="DIRECTORY",
    required=True,
    help="Where scores and findings are written; the same command continues there.",
)
@options.DATA
@ATTACK
@options.EMBEDDER
@click.option(
    "--duplicate-threshold",
    type=click.FloatRange(0),
    help="Similarity from which images count as near duplicates, above 1 for exact copies only; "
    "default: by embedder.",
)
@click.option(
    "--index",
    metavar="DIRECTORY",
    help="Where the embedded images are kept; default: the cache, found again for the same files.",
)
@EXTENT
@click.option(
    "--images",
    type=click.IntRange(0),
    default=ScanConfig.images,
    show_default=True,
    help="Most picture strips to write, for the flagged with the highest scores.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=ScanConfig.seed,
    show_default=True,
    help="Seed of all noise and of --sample.",
)
@click.option(
    "--no-self-check",
    is_flag=True,
    help="Scan a model even if it looks misread; the verdict is then inconclusive.",
)
@options.MODEL
@options.COMPUTE
@click.option(
    "--shard-size",
    type=click.IntRange(1),
    default=ScanConfig.shard_size,
    show_default=True,
    help="Images whose scores are written together: what an interruption can cost.",
)
@options.JSON
@options.CONFIG_FILE
@click.pass_context
def scan(context: click.Context, /, as_json: bool, **values: Any) -> None:
    """Audit MODEL for memorization of DATASET.

    MODEL is a diffusers folder, a hub id, or closed-form:PATH (the perfect memorizer of the images
    at PATH). DATASET is an image folder, Parquet/Arrow files or WebDataset tar shards.

    Exits with 0 for evidence and for none alike, with 4 if the scan is inconclusive.
    """
    config = scan_config(values)
    from memaudit.audit import scan as run
    from memaudit.audit.cache import cache_directory
    from memaudit.report.remarks import remarks
    from memaudit.report.words import describe

    with bars() as progress, name_full_disk(config.out, config.index or cache_directory()):
        result = run(config, progress)
    for line in remarks(result.summary, result.provenance):
        click.echo(f"memaudit: {line}", err=True)
    if as_json:
        click.echo(json.dumps(result.report(), indent=2))
    else:
        click.echo(describe(result.summary, config, result.quality))
    context.exit(result.exit_code)


def scan_config(values: dict[str, Any]) -> ScanConfig:
    """Build the configuration from a command's values."""
    del values["noise"]
    data = options.data_options(values)
    corruption = Corruption(**{name: values.pop(name) for name in CORRUPTION_FIELDS})
    for check in ("self_check", "power"):
        values[check] = not values.pop(f"no_{check}", False)
    return ScanConfig(data=data, corruption=corruption, **values)

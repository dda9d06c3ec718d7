"""`memaudit scan`."""

from __future__ import annotations

import json
from typing import Any

import click

from memaudit.cli import options
from memaudit.cli.progress import bars
from memaudit.config import Corruption, Reconstruction, Sampler, ScanConfig

CORRUPTION_FIELDS = ("sigmas", "snr_db", "timesteps", "levels", "draws")

ATTACK = options.group(
    click.option(
        "--noise",
        type=click.Choice(["auto"]),
        default="auto",
        show_default=True,
        help="Levels from the distances between the images, unless given below.",
    ),
    click.option("--sigma", "sigmas", type=options.FLOATS, default=(), help="Noise-to-signal."),
    click.option("--snr-db", type=options.FLOATS, default=(), help="Signal-to-noise in dB."),
    click.option(
        "--timestep", "timesteps", type=options.INTEGERS, default=(), help="The model's own steps."
    ),
    click.option("--levels", type=int, default=Corruption.levels, show_default=True, help="Auto."),
    click.option(
        "--draws", type=int, default=Corruption.draws, show_default=True, help="Per level."
    ),
    click.option(
        "--reconstruct",
        type=options.Listed(options.choice(Reconstruction), "ode|one-step|sample,..."),
        default=ScanConfig.reconstruct,
        show_default="ode",
        help="Deterministic sampling, posterior mean, stochastic sampling; several at once.",
    ),
    click.option(
        "--sampler",
        type=options.choice(Sampler),
        default=ScanConfig.sampler,
        show_default=True,
        help="Solver of ode.",
    ),
    click.option("--steps", type=int, default=ScanConfig.steps, show_default=True, help="Of it."),
)


@click.command()
@click.argument("model")
@click.argument("dataset")
@click.option("--controls", help="Images of the same kind that the model never saw.")
@click.option("--out", required=True, help="Run directory; the same command continues it.")
@options.DATA
@ATTACK
@options.EMBEDDER
@click.option(
    "--duplicate-threshold", type=float, help="Similarity of near duplicates; per embedder."
)
@click.option("--index", help="Directory of the index; default: in the cache, by its content.")
@click.option("--q", type=float, default=ScanConfig.q, show_default=True, help="Of `flagged`.")
@click.option("--images", type=int, default=ScanConfig.images, show_default=True, help="Strips.")
@click.option("--seed", type=int, default=ScanConfig.seed, show_default=True, help="Of all noise.")
@click.option("--no-self-check", is_flag=True, help="Scan a model that looks misread.")
@options.MODEL
@options.COMPUTE
@click.option(
    "--shard-size", type=int, default=ScanConfig.shard_size, show_default=True, help="Images."
)
@options.JSON
@options.CONFIG_FILE
@click.pass_context
def scan(context: click.Context, /, as_json: bool, **values: Any) -> None:
    """Audit MODEL for memorization of DATASET.

    MODEL is a diffusers folder, a hub id, or closed-form:PATH (the perfect memorizer of the images
    at PATH). DATASET is an image folder, Parquet/Arrow files or WebDataset tar shards.
    """
    config = scan_config(values)
    from memaudit.reports.words import describe
    from memaudit.scanning import scan as run

    with bars() as progress:
        result = run(config, progress)
    if as_json:
        click.echo(json.dumps(result.report(), indent=2))
    else:
        click.echo(describe(result.summary, config))
    context.exit(result.exit_code)


def scan_config(values: dict[str, Any]) -> ScanConfig:
    """Build the configuration from a command's values."""
    del values["noise"]
    data = options.data_options(values)
    corruption = Corruption(**{name: values.pop(name) for name in CORRUPTION_FIELDS})
    self_check = not values.pop("no_self_check", False)
    return ScanConfig(data=data, corruption=corruption, self_check=self_check, **values)

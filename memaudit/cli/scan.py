"""`memaudit scan`."""

from __future__ import annotations

from typing import Any

import click

from memaudit.cli import options
from memaudit.cli.disk import name_full_disk
from memaudit.cli.progress import bars
from memaudit.cli.terminal import complain, say_digest, say_json, say_scan
from memaudit.config import ScanConfig

NO_NOISE = options.retired(
    "--noise", "leave it out: without --sigma, --snr-db and --timestep the levels are automatic"
)


@click.command()
@click.argument("model")
@click.argument("dataset")
@options.of(ScanConfig, "model", "dataset")
@NO_NOISE
@options.VERBOSE
@options.JSON
@options.CONFIG_FILE
@click.pass_context
def scan(context: click.Context, /, as_json: bool, verbose: bool, **values: Any) -> None:
    """Audit MODEL for memorization of DATASET.

    MODEL is a diffusers folder, a hub id, or closed-form:PATH (the perfect memorizer of the images
    at PATH). DATASET is an image folder, Parquet/Arrow files or WebDataset tar shards.

    Exits with 0 for evidence and for none alike, with 4 if the scan is inconclusive.
    """
    config = ScanConfig(**values)
    from memaudit.audit import scan as run
    from memaudit.audit.cache import cache_directory
    from memaudit.report.remarks import remarks

    execution = config.execution
    with bars() as progress, name_full_disk(execution.out, execution.index or cache_directory()):
        result = run(config, progress)
    for line in remarks(result.record):
        complain(line)
    say_json(result.report()) if as_json else say_scan(result.record, verbose)
    say_digest(result.digest, as_json)
    context.exit(result.exit_code)

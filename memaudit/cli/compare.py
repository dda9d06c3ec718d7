"""`memaudit compare`."""

from __future__ import annotations

from pathlib import Path

import click

from memaudit.cli import options
from memaudit.cli.disk import name_full_disk
from memaudit.cli.progress import bars
from memaudit.cli.terminal import say_comparison, say_json
from memaudit.config import CompareConfig


@click.command()
@click.argument("runs", metavar="RUN_A RUN_B [RUN_C ...]", nargs=-1, required=True)
@options.of(CompareConfig, "runs")
@options.VERBOSE
@options.JSON
@options.CONFIG_FILE
def compare(runs: tuple[str, ...], out: str | None, as_json: bool, verbose: bool) -> None:
    """Compare finished runs with RUN_A, image by image: which model memorizes less?

    Each RUN is the --out of a finished scan, of the same images, seed, size and embedder. No model
    is loaded. Exits with 0 when done, with 2 if the runs cannot be compared.
    """
    config = CompareConfig(runs, out)
    from memaudit.comparison import compare as run

    with bars() as progress, name_full_disk(out or Path.cwd()):
        result = run(config, progress)
    say_json(result.report()) if as_json else say_comparison(result, verbose)

"""`memaudit split`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from memaudit.cli import options
from memaudit.cli.disk import name_full_disk
from memaudit.cli.progress import bars
from memaudit.cli.terminal import complain, say, say_json
from memaudit.config import SplitConfig


@click.command()
@click.argument("dataset")
@options.of(SplitConfig, "dataset")
@options.JSON
@options.CONFIG_FILE
def split(as_json: bool, **values: Any) -> None:
    """Set controls aside before a training: part DATASET at random into two data sets.

    Near copies stay together, as do clusters (--cluster-column). memaudit train and memaudit scan
    read what is written: image files as hard links, or copies on another disk, tables and shards
    anew, with captions and metadata. An image that cannot be read is on neither side.
    """
    config = SplitConfig(**values)
    from memaudit.audit.cache import cache_directory
    from memaudit.audit.split import split as run
    from memaudit.audit.split_words import describe_split, remarks

    with bars() as progress, name_full_disk(config.members, config.controls, cache_directory()):
        found = run(config, progress)
    for line in remarks(found, config):
        complain(line)
    say_json(asdict(found)) if as_json else say(describe_split(found, config))

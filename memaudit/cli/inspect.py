"""`memaudit inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from memaudit.cli import options
from memaudit.cli.disk import name_full_disk
from memaudit.cli.terminal import can_show, say, say_json
from memaudit.config import InspectConfig
from memaudit.config.fields import build


@click.command()
@click.argument("model")
@options.of(InspectConfig, "model", "sample", "caption_column")
@options.JSON
@options.CONFIG_FILE
def inspect(as_json: bool, **values: Any) -> None:
    """Say what MODEL is and how a scan would read it.

    Family, prediction, noise schedule, space, parts with their sizes, weight files with their
    sha256, and what of its folder is not read. With --images also whether it is read rightly: the
    self-check of a scan, on 32 images at most.

    Exits with 0, or with 2 if MODEL cannot be opened or the self-check refuses how it is read.
    """
    config: InspectConfig = build(InspectConfig, values)
    from memaudit.audit.inspection import inspect as look
    from memaudit.audit.inspection import require_passed
    from memaudit.audit.inspection_plot import EIGHTHS, draw
    from memaudit.audit.inspection_words import describe

    found = look(config)
    if as_json:
        say_json(found.content())
    else:
        say(describe(found, with_blocks=can_show(EIGHTHS)))
    if config.plot is not None:
        with name_full_disk(Path(config.plot).parent):
            draw(found, Path(config.plot))
    require_passed(found)

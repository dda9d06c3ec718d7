"""`memaudit convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from memaudit.cli import options
from memaudit.cli.disk import name_full_disk
from memaudit.cli.terminal import say, say_json
from memaudit.config import ConvertConfig


@click.command()
@click.argument("file")
@click.argument("out")
@options.of(ConvertConfig, "file", "out")
@options.JSON
def convert(as_json: bool, **values: Any) -> None:
    """Write the tensors of FILE, a pickled checkpoint, into OUT, a .safetensors file.

    FILE (.ckpt, .pt, .pth or .bin) is opened in a process of its own and read as weights alone: a
    pickle that asks for anything else is refused, and nothing of it is run. Optimizer states,
    numbers and texts are left out, and named. OUT must not be there.
    """
    config = ConvertConfig(**values)
    from memaudit.convert import words
    from memaudit.convert.pipeline import convert as run

    with name_full_disk(Path(config.out).parent):
        converted = run(config)
    say_json(words.to_json(converted)) if as_json else say(words.describe(converted))

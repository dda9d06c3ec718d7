"""Options that several commands share, their types, and the TOML file behind them."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import click

from memaudit.config import DataOptions, Device, Dtype, ResizePolicy, ScanConfig

type Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class Listed(click.ParamType):  # type: ignore[type-arg]
    """Values separated by commas, each of one type: "0.5,1,2"."""

    def __init__(self, item: Any, name: str) -> None:
        self.item = item
        self.name = name

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Any, ...]:
        """Turn "a,b" or a TOML list into a tuple."""
        parts = value.split(",") if isinstance(value, str) else value
        parts = parts if isinstance(parts, list | tuple) else [parts]
        return tuple(
            self.item.convert(part.strip() if isinstance(part, str) else part, param, ctx)
            for part in parts
        )


FLOATS = Listed(click.FLOAT, "number,...")
INTEGERS = Listed(click.INT, "integer,...")


def choice(literal: Any) -> click.Choice[str]:
    """Give the choices of a Literal type."""
    return click.Choice(get_args(literal))


def group(*options: Decorator) -> Decorator:
    """Bundle options into one decorator, in the order in which --help shows them."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def _read_toml(context: click.Context, _: click.Parameter, path: Path | None) -> None:
    if path is None:
        return
    table = _table(context, path)
    known = {_flag(p): p.name for p in context.command.params if isinstance(p, click.Option)}
    del known["config"]
    given = {key.replace("_", "-"): value for key, value in table.items()}
    for key in given.keys() - known.keys():
        near = difflib.get_close_matches(key, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(sorted(known))}"
        raise click.UsageError(f"--config {path} has an unknown option {key}{hint}", context)
    values = {known[key]: value for key, value in given.items()}
    context.default_map = {**(context.default_map or {}), **values}


def _table(context: click.Context, path: Path) -> dict[str, Any]:
    """The table named like the command: [scan], [index.build]."""
    try:
        table: Any = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise click.UsageError(f"--config {path} cannot be read: {error}", context) from error
    found = ", ".join(table) or "nothing"
    names = context.command_path.split()[1:]
    for name in names:
        table = table.get(name)
        if not isinstance(table, dict):
            raise click.UsageError(
                f"--config {path} has no table [{'.'.join(names)}], found {found}; put the "
                "options of this command under a table of that name",
                context,
            )
    return dict(table)


def _flag(option: click.Option) -> str:
    return max(option.opts, key=len).lstrip("-")


CONFIG_FILE = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=_read_toml,
    is_eager=True,
    expose_value=False,
    help="TOML file with options, without their dashes, in a table named like the command "
    "([scan], [index.build]); flags win over it.",
)

CONTROLS = group(
    click.option(
        "--controls",
        metavar="DATASET",
        help="Images of the same kind that the model never saw; a verdict needs them.",
    ),
    click.option("--controls-split", metavar="NAME", help="Split of the controls, as --split."),
)

DATA = group(
    click.option(
        "--resize",
        type=choice(ResizePolicy),
        default=DataOptions.resize,
        show_default=True,
        help="How images become the model's size; take what the training did.",
    ),
    click.option(
        "--sample",
        type=click.IntRange(1),
        help="Draw this many images at random from each data set; default: all.",
    ),
    click.option(
        "--image-column",
        metavar="NAME",
        help="Column of Parquet/Arrow files, or extension in tar files, that holds the image; "
        "default: found by its type and name.",
    ),
    click.option(
        "--caption-column",
        metavar="NAME",
        help="Column, or field of .json files in tar files, that holds the caption; default: "
        "text, caption or prompt.",
    ),
    click.option(
        "--split",
        metavar="NAME",
        help="Split of the data set: a sub-folder, or the start of the file names.",
    ),
)

MODEL = group(
    click.option(
        "--resolution",
        type=click.IntRange(1),
        help="Side of the images in pixels; default: what the model says.",
    ),
    click.option("--revision", help="Branch, tag or commit of a model on the hub."),
    click.option("--variant", help="Variant of the weights, for instance fp16."),
    click.option(
        "--base-model",
        metavar="MODEL",
        help="The pipeline that a folder of LoRA adapters belongs to; default: what its lora.json "
        "says.",
    ),
    click.option("--local-files-only", is_flag=True, help="Never ask the hub for the model."),
)

DEVICE = click.option(
    "--device",
    type=choice(Device),
    default=ScanConfig.device,
    show_default=True,
    help="Where the networks run; auto takes a GPU if there is one.",
)

COMPUTE = group(
    DEVICE,
    click.option(
        "--dtype",
        type=choice(Dtype),
        default=ScanConfig.dtype,
        show_default=True,
        help="Number format of the network; noise and scores are always float32.",
    ),
    click.option(
        "--batch-size",
        type=click.IntRange(1),
        default=ScanConfig.batch_size,
        show_default=True,
        help="Images that the network sees at a time; the findings do not depend on it.",
    ),
)

EMBEDDER = click.option(
    "--embedder",
    default=ScanConfig.embedder,
    show_default=True,
    help="What measures similarity: sscd[:file], sscd-distilled[:file], "
    "open_clip:MODEL/TAG-OR-FILE, dinov2:FOLDER, pixels, or the name of a plug-in.",
)

JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")

DATA_FIELDS = ("resize", "sample", "image_column", "caption_column", "split", "controls_split")


def data_options(values: dict[str, Any]) -> DataOptions:
    """Take the shared data options out of a command's values."""
    return DataOptions(**{name: values.pop(name) for name in DATA_FIELDS if name in values})

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
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise click.UsageError(f"--config {path} cannot be read: {error}", context) from error
    name = context.command.name or ""
    table = tables.get(name)
    if not isinstance(table, dict):
        found = ", ".join(tables) or "nothing"
        raise click.UsageError(f"--config {path} has no table [{name}], found {found}", context)
    known = {p.name: p for p in context.command.params if isinstance(p, click.Option) and p.name}
    given = {key.replace("-", "_"): value for key, value in table.items()}
    for key in given.keys() - known.keys():
        near = difflib.get_close_matches(key, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(sorted(known))}"
        raise click.UsageError(f"--config {path}: [{name}] has no option {key}{hint}", context)
    context.default_map = {**(context.default_map or {}), **given}


CONFIG_FILE = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=_read_toml,
    is_eager=True,
    expose_value=False,
    help="TOML file with a table named like the command; flags win over it.",
)

DATA = group(
    click.option(
        "--resize",
        type=choice(ResizePolicy),
        default=DataOptions.resize,
        show_default=True,
        help="How images become the model's size; take what the training did.",
    ),
    click.option("--sample", type=int, help="Draw this many images at random from each data set."),
    click.option("--image-column", help="Parquet/Arrow column or tar extension with the image."),
    click.option("--caption-column", help="Column with the caption."),
    click.option("--split", help="Split of the data set: sub-folder or start of the file names."),
)

MODEL = group(
    click.option("--resolution", type=int, help="Image size, if the model does not say it."),
    click.option("--revision", help="Revision of a model on the hub."),
    click.option("--variant", help="Variant of the weights, for instance fp16."),
    click.option("--local-files-only", is_flag=True, help="Never ask the hub."),
)

COMPUTE = group(
    click.option(
        "--device", type=choice(Device), default=ScanConfig.device, show_default=True, help="Where."
    ),
    click.option(
        "--dtype",
        type=choice(Dtype),
        default=ScanConfig.dtype,
        show_default=True,
        help="Of the network; noise and scores are always float32.",
    ),
    click.option(
        "--batch-size", type=int, default=ScanConfig.batch_size, show_default=True, help="Images."
    ),
)

EMBEDDER = click.option(
    "--embedder",
    default=ScanConfig.embedder,
    show_default=True,
    help="sscd[:file], sscd-distilled, open_clip:MODEL/TAG-OR-FILE, dinov2:PATH, pixels, or a "
    "plug-in.",
)

JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")

DATA_FIELDS = ("resize", "sample", "image_column", "caption_column", "split")


def data_options(values: dict[str, Any]) -> DataOptions:
    """Take the shared data options out of a command's values."""
    return DataOptions(**{name: values.pop(name) for name in DATA_FIELDS})

"""Options that several commands share, their types, and the TOML file behind them."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click

from memaudit.config.fields import BLANK, Option, all_options
from memaudit.text import shown

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


class Text(click.ParamType):  # type: ignore[type-arg]
    """Text that is not blank."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuse a blank, as configurations do."""
        text = str(value)
        return text if text.strip() else self.fail(BLANK, param, ctx)


class WholeNumber(click.IntRange):
    """Shows its bounds in --help; the configuration checks them, in its own words."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Turn "5" into 5."""
        return click.INT.convert(value, param, ctx)


class Number(click.FloatRange):
    """The same of any number."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Turn "0.5" into 0.5."""
        return click.FLOAT.convert(value, param, ctx)


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
    known = {_flag(p): p for p in context.command.params if isinstance(p, click.Option)}
    del known["config"]
    given = {key.replace("_", "-"): value for key, value in table.items()}
    for key in given.keys() - known.keys():
        near = difflib.get_close_matches(key, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(sorted(known))}"
        raise click.UsageError(f"--config {path} has an unknown option {key}{hint}", context)
    for key, value in given.items():
        if not _fits(known[key], value):
            raise click.UsageError(
                f"--config {path} gives {key} {shown(repr(value))}, expected "
                f"{_kind_of(known[key])}",
                context,
            )
    values = {known[key].name: _meant(known[key], value) for key, value in given.items()}
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


def _fits(option: click.Option, value: object) -> bool:
    """Whether a value of a file is of the option's kind; text is read as on the command line."""
    if option.is_flag:
        return isinstance(value, bool)
    kind = option.type
    if isinstance(kind, Listed):
        each = value if isinstance(value, list) else [value]
        return all(_is_one(kind.item, one) for one in each)
    return _is_one(kind, value)


def _is_one(kind: click.ParamType[Any], value: object) -> bool:
    if isinstance(value, bool):
        return False
    whole = isinstance(kind, type(click.INT))
    return isinstance(value, str | int if whole else str | int | float)


def _kind_of(option: click.Option) -> str:
    if option.is_flag:
        return "true or false"
    kind, item = "one", option.type
    if isinstance(item, Listed):
        kind, item = "a list, or one", item.item
    name = {"integer": "whole number", "float": "number"}.get(item.name.removesuffix(" range"))
    return f"{kind} {name or 'text'}"


def _meant(option: click.Option, value: object) -> object:
    """A table says `no-power = true` of what is then False."""
    return not value if option.is_flag and option.flag_value is False else value


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

TEXT = Text()
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
VERBOSE = click.option(
    "--verbose", is_flag=True, help="Print all numbers and tables in place of a few lines."
)


def of(kind: type, *left_out: str) -> Decorator:
    """Make the options of a configuration, in the order of its fields, but for those named."""
    shown = [one for one in all_options(kind) if one.name not in left_out and not one.about.hidden]
    return group(*map(_option, shown))


def chosen(kind: type, *names: str) -> Decorator:
    """Make some options of a configuration, by their names."""
    return of(kind, *(one.name for one in all_options(kind) if one.name not in names))


def retired(flag: str, advice: str) -> Decorator:
    """Make an option of old that is refused, saying what to do instead."""

    def refuse(context: click.Context, _: click.Parameter, value: object) -> None:
        if value is not None:
            raise click.UsageError(f"{flag} is gone; {advice}", context)

    return click.option(
        flag, hidden=True, help=f"Gone: {advice}.", expose_value=False, callback=refuse
    )


def _option(one: Option) -> Decorator:
    told, default = one.about, one.field.default
    details: dict[str, Any]
    if isinstance(default, bool):  # a check that is on is switched off by --no-...
        return click.option(
            one.flag, one.name, flag_value=not default, default=default, help=told.help
        )
    if told.opposite:
        both = f"{one.flag}/--{told.opposite}"
        return click.option(both, one.name, default=None, help=told.help)
    details = {"type": _type(one), "help": told.help}
    if told.metavar:
        details["metavar"] = told.metavar
    if told.flag_value:
        details |= {"is_flag": False, "flag_value": told.flag_value}
    if one.required:
        details["required"] = not one.optional
    elif default is not None and not one.optional:
        details |= {"default": default, "show_default": default != ()}
    also = [f"--{told.also}"] if told.also else []
    return click.option(one.flag, *also, one.name, **details)


def _type(one: Option) -> click.ParamType[Any]:
    item = _item(one)
    if get_origin(one.type) is not tuple:
        return item
    names = "|".join(get_args(one.item)) if get_origin(one.item) is Literal else item.name
    return Listed(item, f"{names},...")


def _item(one: Option) -> click.ParamType[Any]:
    told, kind = one.about, one.item
    if get_origin(kind) is Literal:
        return click.Choice(get_args(kind))
    if kind not in (int, float):
        return click.STRING
    if told.low is None and told.high is None:
        return click.INT if kind is int else click.FLOAT
    if kind is int:
        return WholeNumber(_whole(told.low), _whole(told.high))
    open_ = {"min_open": told.open_, "max_open": told.open_ and told.high is not None}
    return Number(told.low, told.high, **open_)


def _whole(bound: float | None) -> int | None:
    return None if bound is None else int(bound)

"""One description of each option: its default, its bounds and its help.

Configurations are checked by it and the command line is made of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass, replace
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from memaudit.errors import ConfigError

ABOUT = "option"  # of a field's metadata
LARGEST = 8192  # pixels, of the side to which images are brought
BLANK = (
    "is blank, expected text; an unset variable of a shell is: give a value, or leave the option "
    "out"
)


@dataclass(frozen=True)
class About:
    """What is told of one option, beside its type and its default.

    `name` is what users call it, where that is not the field's name, `also` another name that the
    command line takes; `low` and `high` bound numbers, `open_` says that the bounds themselves are
    left out; `metavar` is what --help shows for the value; `flag_value` is what the option means
    without a value; `opposite` is the flag that says no; `path`: it may name something on this
    machine; `hidden`: it is no option of the command line.
    """

    help: str = ""
    name: str = ""
    also: str = ""
    low: float | None = None
    high: float | None = None
    open_: bool = False
    metavar: str = ""
    flag_value: str = ""
    opposite: str = ""
    path: bool = False
    hidden: bool = False


def option(default: Any = MISSING, about: str = "", **more: Any) -> Any:
    """Make a field of a configuration; `more` are the other fields of About."""
    told = {ABOUT: About(about, **more)}
    if default is MISSING:
        return field(metadata=told)
    return field(default=default, metadata=told)


def like(kind: type, name: str) -> Any:
    """Make a field with the default and the words of one of another configuration."""
    [one] = [each for each in fields(kind) if each.name == name]
    return field(default=one.default, metadata=one.metadata)


def about(one: Field[Any]) -> About:
    """What is told of a field."""
    told = one.metadata.get(ABOUT, About())
    assert isinstance(told, About)
    return told


def name_of(one: Field[Any]) -> str:
    """What users call a field: from Python, in TOML, and with dashes on the command line."""
    return about(one).name or one.name


@dataclass(frozen=True)
class Option:
    """One option of a configuration: its field, and its type without `None`.

    `optional`: its part is left out if no option of it is given.
    """

    field: Field[Any]
    type: Any
    optional: bool = False

    @property
    def name(self) -> str:
        """What users call it."""
        return name_of(self.field)

    @property
    def about(self) -> About:
        """What is told of it."""
        return about(self.field)

    @property
    def flag(self) -> str:
        """What it is called on the command line; a check that is on by default is switched off."""
        dashed = self.name.replace("_", "-")
        return f"--no-{dashed}" if self.field.default is True else f"--{dashed}"

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.field.default is MISSING and self.field.default_factory is MISSING

    @property
    def item(self) -> Any:
        """The type of one value: that of the items of a tuple."""
        return get_args(self.type)[0] if get_origin(self.type) is tuple else self.type


def parts(kind: type) -> Iterator[Option]:
    """The fields of a configuration that are configurations themselves."""
    return (one for one in _of(kind) if is_dataclass(one.type))


def own_options(kind: type) -> Iterator[Option]:
    """The options of a configuration, without those of its parts."""
    return (one for one in _of(kind) if not is_dataclass(one.type))


def all_options(kind: Any) -> Iterator[Option]:
    """All options of a configuration, those of its parts where the part stands."""
    for one in _of(kind):
        if is_dataclass(one.type):
            for inner in all_options(one.type):
                yield replace(inner, optional=one.field.default is None)
        else:
            yield one


def places(kind: Any, at: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Option]]:
    """All options of a configuration, each with the names of the fields that lead to it."""
    for one in _of(kind):
        here = (*at, one.field.name)
        if is_dataclass(one.type):
            yield from places(one.type, here)
        else:
            yield here, one


def check(config: Any) -> None:
    """Raise ConfigError for a value that its type's choices or its bounds leave out."""
    for one in own_options(type(config)):
        value = getattr(config, one.field.name)
        values = value if isinstance(value, tuple) else (value,)
        for each in values:
            if each is not None:
                _check(one, each)


def build(kind: Any, given: dict[str, Any], base: Any = None) -> Any:
    """Make a configuration of options by their names; takes them out of `given`.

    A part may be given whole, under the name of its field. What is not given comes from `base`.
    """
    made: dict[str, Any] = {}
    for one in _of(kind):
        if is_dataclass(one.type):
            made[one.field.name] = part(one, given, base)
        elif one.name in given:
            made[one.field.name] = given.pop(one.name)
    if base is not None:
        return replace(base, **made)
    missing = [one.name for one in own_options(kind) if one.required and one.field.name not in made]
    if missing:
        raise ConfigError(f"{' and '.join(missing)} must be given; found no value")
    return kind(**made)


def part(one: Option, given: dict[str, Any], base: Any = None) -> Any:
    """Make one part of a configuration of the options in `given`, as `build` does.

    A part whose default is None is left out if none of its options is given.
    """
    name, whole = one.field.name, given.get(one.field.name)
    before = None if base is None else getattr(base, name)
    if isinstance(whole, one.type):
        before = given.pop(name)
    elif is_dataclass(whole):  # a smaller record, of some of this part's options
        del given[name]
        given |= {f.name: getattr(whole, f.name) for f in fields(whole)}
    if before is None and one.field.default is None:
        return _optional_part(one, given)
    return build(one.type, given, before)


def _optional_part(one: Option, given: dict[str, Any]) -> Any:
    """Take None for what is not given; the part's options without default say that it is wanted."""
    own = list(own_options(one.type))
    told = {each.name: given.pop(each.name, None) for each in own}
    told = {name: value for name, value in told.items() if value is not None}
    keys = [each.flag for each in own if each.required and each.name not in told]
    if told and keys:
        raise ConfigError(
            f"{_listed([each.flag for each in own if not each.required])} belong to "
            f"{_listed(keys)}; leave them out, or give {one.about.help}"
        )
    return build(one.type, told) if told else None


def _listed(words: list[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _of(kind: Any) -> Iterator[Option]:
    hints = get_type_hints(kind)
    for one in fields(kind):
        yield Option(one, _without_none(hints[one.name]))


def _without_none(hint: Any) -> Any:
    if get_origin(hint) in (Union, UnionType):
        kinds = [kind for kind in get_args(hint) if kind is not NoneType]
        return kinds[0] if len(kinds) == 1 else hint
    return hint


def _check(one: Option, value: Any) -> None:
    if isinstance(value, str) and not value.strip():
        raise ConfigError(f"{one.name} {BLANK}")
    if get_origin(one.item) is Literal:
        choices = get_args(one.item)
        if value not in choices:
            raise ConfigError(f"{one.flag} must be one of {', '.join(choices)}; found {value!r}")
    told = one.about
    low = -math.inf if told.low is None else told.low
    high = math.inf if told.high is None else told.high
    if (low, high) == (-math.inf, math.inf):
        return
    inside = low < value < high if told.open_ else low <= value <= high
    if not inside:
        raise ConfigError(f"{one.flag} must {_bounds(told)}, found {value}")


def _bounds(told: About) -> str:
    if told.low is not None and told.high is not None:
        return f"lie between {told.low:g} and {told.high:g}"
    if told.low is not None:
        return f"be above {told.low:g}" if told.open_ else f"be {told.low:g} or more"
    return f"be below {told.high:g}" if told.open_ else f"be {told.high:g} or less"

"""The command that repeats a scan, made of its configuration."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from memaudit.config import ScanConfig
from memaudit.config.fields import Option, own_options, parts

GIVEN = ("model", "dataset")  # are arguments, not options


def command(config: Any) -> str:
    """`memaudit scan ...` with every option that is not at its default."""
    words = {one.name: value for one, value in _options(ScanConfig, config)}
    options = [
        word
        for one, value in _options(ScanConfig, config)
        if one.name not in GIVEN and not one.about.hidden
        for word in _words(one, value)
    ]
    return shlex.join(["memaudit", "scan", *(str(words[name]) for name in GIVEN), *options])


def _options(kind: Any, config: Any) -> Iterator[tuple[Option, Any]]:
    for one in parts(kind):
        inner = getattr(config, one.field.name)
        if inner is not None:
            yield from _options(one.type, inner)
    for one in own_options(kind):
        yield one, getattr(config, one.field.name)


def _words(one: Option, value: Any) -> list[str]:
    if not one.required and value == one.field.default:
        return []
    if isinstance(value, bool):
        no = f"--{one.about.opposite}" if one.about.opposite else one.flag
        return [no if one.field.default is None and not value else one.flag]
    if isinstance(value, tuple):
        return [one.flag, ",".join(map(str, value))] if value else []
    return [] if value is None else [one.flag, str(value)]

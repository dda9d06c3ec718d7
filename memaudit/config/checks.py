"""Checks and digests that all configurations share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from os.path import realpath
from pathlib import Path
from typing import Any

from memaudit.errors import ConfigError

CLOSED_FORM = "closed-form:"  # prefix of a MODEL that is the perfect memorizer of images


def digest(content: Any) -> str:
    """sha256 (hex) of anything JSON can hold, keys sorted."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def keep_apart(option: str, written: str | None, data: str | None) -> None:
    """Raise ConfigError for a place inside a data set, if both are given."""
    if written and data and _is_inside(written, data):
        raise ConfigError(
            f"{option} {written} lies inside the data set {data}, and what is written there would "
            "be taken for images of it; give a directory elsewhere"
        )


def keep_out_of(option: str, written: str | None, runs: Iterable[str]) -> None:
    """Raise ConfigError for a place inside a finished run, or in the place of its files."""
    for run in runs:
        if written and _is_inside(written, run):
            raise ConfigError(
                f"{option} {written} lies inside the run {run}, whose files are sealed; give a "
                "place elsewhere"
            )


def _is_inside(path: str, place: str) -> bool:
    """Whether a path is a place or lies in it, links followed."""
    return Path(realpath(path)).is_relative_to(realpath(place))


def absolute(path: str | None) -> str | None:
    """Give the full path of what is on this machine; anything else stays as it is."""
    if path is None:
        return None
    kind = CLOSED_FORM if path.startswith(CLOSED_FORM) else ""
    target = Path(path.removeprefix(kind))
    return f"{kind}{target.resolve()}" if target.exists() else path

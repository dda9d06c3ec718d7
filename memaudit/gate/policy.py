"""What a pipeline tolerates: a policy, read from TOML."""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from memaudit.errors import ConfigError, ForeignFileError
from memaudit.foreign import read_file
from memaudit.statistics.doubts import LEVEL

POLICY_BYTES = 1 << 20
STRICT = ConfigDict(extra="forbid", strict=True)
Share = Field(default=None, ge=0, le=1)
Whole = Field(default=None, ge=0)
EXAMPLE = Path(__file__).parent / "memaudit.toml"


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Suppression:
    """A finding that counts no more, why, until when, and who said so; it stays visible."""

    fingerprint: str
    statement: str = Field(min_length=1)
    expires: date
    approved_by: str = Field(min_length=1)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Policy:
    """What a finished scan must keep to; None is no limit.

    `level` is that of the verdict, half for single images and half for the data set as a whole; at
    most .05, as a scan knows no weaker one. Images count as flagged at half of it. Shares lie in
    [0, 1]. `severity_floor_db`: no image may come back as a copy where so many dB or less are left.
    `most_new` is the largest number of flagged images that the baseline does not flag, and
    `most_excess_increase` by how much the excess may go up since then; `excess_end` says which end
    of either interval counts.
    """

    level: float = Field(default=LEVEL, gt=0, le=LEVEL)
    evidence: Literal["fail", "allow"] = "fail"
    inconclusive: Literal["cannot tell", "fail", "pass"] = "cannot tell"
    adaptive: Literal["allow", "cannot tell"] = "allow"
    most_flagged: int | None = Whole
    most_reproductions: int | None = Whole
    most_excess: float | None = Share
    excess_end: Literal["low", "estimate", "high"] = "low"
    severity_floor_db: float | None = Field(default=None, allow_inf_nan=False)
    most_new: int | None = Whole
    most_excess_increase: float | None = Share
    fewest_members: int | None = Whole
    fewest_controls: int | None = Whole
    least_power: float | None = Share
    most_detectable: int | None = Whole
    most_unreadable: float | None = Share
    suppress: tuple[Suppression, ...] = Field(default=(), strict=False)


def read_policy(path: Path | None) -> Policy:
    """Read the table [gate] of a TOML file; without one, the default policy.

    Raises ConfigError for a file that cannot be read, a key that is misspelt or a value out of its
    bounds.
    """
    if path is None:
        return Policy()
    try:
        table: dict[str, Any] = tomllib.loads(read_file(path, POLICY_BYTES).decode("utf-8"))
    except ForeignFileError as error:
        raise ConfigError(
            f"the policy {path} {error}; memaudit gate --init FILE writes one to start from"
        ) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"the policy {path} is no TOML file: {error}; correct it") from error
    gate = table.get("gate")
    if not isinstance(gate, dict):
        raise ConfigError(
            f"the policy {path} has no table [gate], found {', '.join(table) or 'nothing'}; "
            "memaudit gate --init FILE writes one to start from"
        )
    try:
        return Policy(**gate)
    except ValidationError as error:
        raise ConfigError(f"the policy {path} {_wrong(error)}") from error


def example() -> str:
    """A policy with a comment on each line, to start from."""
    return EXAMPLE.read_text(encoding="utf-8")


def _wrong(error: ValidationError) -> str:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        known = ", ".join(Policy.__dataclass_fields__)
        return f"has the unknown key {name}; known are {known}"
    return f"gives {name} = {first['input']!r}: {first['msg']}; correct it"

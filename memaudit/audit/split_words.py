"""A split in words."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from memaudit.audit.split import RECORD, Parted, Side
from memaudit.config import SplitConfig
from memaudit.report.words import row
from memaudit.statistics.doubts import fewest_controls

CLAIMS = 2  # of a scan, where it is not told to ask for one
NAMED = 3  # unreadable images that are named; the record has all


def describe_split(found: Parted, config: SplitConfig) -> str:
    """Say what went where, and what comes next."""
    members, controls = found.members, found.controls
    lost = len(found.unreadable)
    return "\n".join(
        [
            row("members", _side(members)),
            row("controls", _side(controls)),
            row("drawn", _draw(found, config)),
            *([row("left out", f"{lost} images that cannot be read")] if lost else []),
            row("train with", _command("train", config, members, "--out MODEL")),
            row("scan with", _scan(found, config)),
        ]
    )


def remarks(found: Parted, config: SplitConfig) -> Iterator[str]:
    """What is to be known beside the summary."""
    for one in found.unreadable[:NAMED]:
        yield f"{one.source} is on neither side: {one.error}"
    if len(found.unreadable) > NAMED:
        yield f"{RECORD} in either directory names all {len(found.unreadable)} such images"
    fewest = fewest_controls(CLAIMS)
    if found.controls.units < fewest:
        yield (
            f"{found.controls.units} {_what(config)} are held out, and a verdict takes at least "
            f"{fewest} controls; give a larger --share or --count, and other "
            "directories"
        )


def _side(side: Side) -> str:
    clusters = "" if side.clusters is None else f", {side.clusters} clusters"
    return f"{side.images} images, {side.groups} if near copies count once{clusters}: {side.path}"


def _draw(found: Parted, config: SplitConfig) -> str:
    members, controls = found.members, found.controls
    units = members.units + controls.units
    clusters = (members.clusters or 0) + (controls.clusters or 0)
    joined = f" (joined where they share near copies: {clusters})" if clusters > units else ""
    largest = max(members.largest, controls.largest)
    return (
        f"{controls.units} of {units} {_what(config)}{joined} at random; the largest has {largest} "
        "images"
    )


def _what(config: SplitConfig) -> str:
    return "groups of near copies" if config.cluster_column is None else "clusters"


def _scan(found: Parted, config: SplitConfig) -> str:
    more = f"--controls {shlex.quote(found.controls.path)} --out RUN"
    if config.cluster_column is not None:
        more += f" --cluster-column {shlex.quote(config.cluster_column)}"
    return _command("scan MODEL", config, found.members, more)


def _command(name: str, config: SplitConfig, members: Side, more: str) -> str:
    column = config.image_column
    picked = "" if column is None else f" --image-column {shlex.quote(column)}"
    return f"memaudit {name} {shlex.quote(members.path)} {more}{picked}"

"""What a replay says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from memaudit.audit.replay import Deviation, Repeated, Replayed
from memaudit.text import shown


def describe(replayed: Replayed, verbose: bool) -> str:
    """Whether findings were repeated, and the largest deviation of each column."""
    return "\n".join(_lines(replayed, verbose))


def to_json(replayed: Replayed) -> dict[str, Any]:
    """The same as plain values, image by image."""
    return {"passes": replayed.passes, **asdict(replayed)}


def _lines(replayed: Replayed, verbose: bool) -> Iterator[str]:
    if replayed.unlike:
        yield "Not repeated: model or embedder are not those that were scanned"
        yield from (f"  {shown(one)}" for one in replayed.unlike)
        return
    flagged = sum(one.flagged for one in replayed.images)
    rows = sum(one.rows for one in replayed.images)
    state = "Repeated" if replayed.passes else "Not repeated"
    yield (
        f"{state}: {len(replayed.images)} images ({flagged} flagged), {rows} rows of scores, each "
        f"column {'within' if replayed.passes else 'held to'} {replayed.tolerance:g}"
    )
    if replayed.device.split(":")[0] != replayed.recorded_device.split(":")[0]:
        yield f"  on {replayed.device}; the scan ran on {replayed.recorded_device}"
    yield from (f"  {line}" for line in _columns(replayed, replayed.columns))
    for one in replayed.images:
        if one.failed:
            yield f"  {shown(one.source)} could not be repeated: {shown(one.failed)}"
        elif verbose:
            yield from _image(replayed, one)


def _image(replayed: Replayed, image: Repeated) -> Iterator[str]:
    mark = "flagged" if image.flagged else "not flagged"
    yield f"  {shown(image.source)} ({mark}, {image.rows} rows, {image.example_id})"
    yield from (f"    {line}" for line in _columns(replayed, image.columns))


def _columns(replayed: Replayed, columns: tuple[Deviation, ...]) -> Iterator[str]:
    width = max((len(one.column) for one in columns), default=0)
    for one in columns:
        told = "missing on one side" if one.largest is None else f"{one.largest:.2g}"
        yield f"{one.column:<{width}}  {told}{'' if replayed.within(one) else '  TOO LARGE'}"

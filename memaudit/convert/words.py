"""A finished conversion, for people and for machines."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from memaudit.convert.result import Converted
from memaudit.text import shown

NAMED = 8  # entries that were left out, by name


def describe(converted: Converted) -> str:
    """Say what was kept and what was not, and the sums of both files."""
    written = converted.written
    dtypes = ", ".join(f"{name} {count}" for name, count in written.dtypes.items())
    taken = f" of {shown(written.taken)}" if written.taken else ""
    lines = [
        f"{shown(converted.out)}: {written.tensors} tensors{taken}, {written.numbers} numbers "
        f"({dtypes})"
    ]
    if written.ema_beside_raw:
        lines.append("EMA weights (model_ema.) stand beside raw ones (model.): both were kept")
    if written.left_out:
        lines.append(f"left out: {_left_out(converted)}")
    lines.append(f"sha256 of {shown(converted.file)}: {written.sha256}")
    lines.append(f"sha256 of {shown(converted.out)}: {converted.sha256}")
    return "\n".join(lines)


def to_json(converted: Converted) -> dict[str, Any]:
    """The same for machines."""
    told = asdict(converted.written)
    source = told.pop("sha256")
    return {
        "format": 1,
        "file": converted.file,
        "file_sha256": source,
        "out": converted.out,
        "out_sha256": converted.sha256,
        **told,
    }


def _left_out(converted: Converted) -> str:
    entries = converted.written.left_out
    told = ", ".join(f"{shown(one.name)} ({shown(one.what)})" for one in entries[:NAMED])
    more = len(entries) + converted.written.more - NAMED
    return f"{told} and {more} more" if more > 0 else told

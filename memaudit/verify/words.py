"""What a verification says, for people and for machines."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from memaudit.text import shown
from memaudit.verify.result import Checked

WRITTEN = {"run": "when the scan ended", "evidence": "when the zip was written"}


def describe(checked: Checked) -> str:
    """The state, each difference by its name, and the digests."""
    differ, total, place = len(checked.differences), checked.files, shown(checked.place)
    then = WRITTEN[checked.what]
    if differ:
        lines = [f"Differs: {place} is not as it was {then} ({differ} found, {total} files)"]
    else:
        lines = [f"Unchanged: all {total} files of {place} are as they were {then}"]
    lines += [
        f"  {one.kind:<7}  {shown(one.name)}: {shown(one.why)}" for one in checked.differences
    ]
    lines += [
        f"Digest of {one.of}: {one.value}{' (as the zip states it)' if one.stated else ''}"
        for one in checked.digests
    ]
    return "\n".join([*lines, _compared(checked)])


def to_json(checked: Checked) -> dict[str, Any]:
    """The same as plain values."""
    return asdict(checked)


def _compared(checked: Checked) -> str:
    if checked.given:
        return f"The digest that was given is that of {checked.given}."
    if any(one.name == "digest" for one in checked.differences):
        return "The digest that was given is another one."
    return (
        "No digest was given. Whoever changes files can write new lists: compare with the digest "
        "that you were told in another way, by --digest."
    )

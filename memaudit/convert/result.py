"""What a conversion did, as its process tells it and as it is told to people."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LeftOut:
    """An entry of a checkpoint that was not kept, by its name, and what it is."""

    name: str
    what: str


@dataclass(frozen=True)
class Written:
    """What was written: `tensors` of so many `numbers`, and how many tensors of each dtype.

    `taken` is the name of the set of weights inside the checkpoint, "" for the file itself.
    Of `left_out` only the first are named, `more` counts the rest. `sha256` is that of the file
    that was read.
    """

    taken: str
    tensors: int
    numbers: int
    dtypes: dict[str, int]
    left_out: tuple[LeftOut, ...]
    more: int
    ema_beside_raw: bool  # under names of their own, in one set of weights
    sha256: str


@dataclass(frozen=True)
class Answer:
    """All that the process says: what it wrote, or why it wrote nothing."""

    written: Written | None = None
    refused: str = ""


@dataclass(frozen=True)
class Converted:
    """A finished conversion; `sha256` is that of `out`."""

    file: str
    out: str
    sha256: str
    written: Written

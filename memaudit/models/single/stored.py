"""How tensors stand in files, whatever the kind of file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True)
class Stored:
    """How a tensor stands in a file: its shape, number format as the file calls it, and size."""

    shape: tuple[int, ...]
    format: str
    bytes: int = 0


class Reader(Protocol):
    """One open file of tensors."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """What its header says beside them."""

    def stored(self) -> dict[str, Stored]:
        """What it holds, by name."""

    def tensor(self, name: str) -> Tensor:
        """One tensor, as it stands there or as the numbers that it stands for."""


def formats(tensors: Iterable[Stored]) -> dict[str, int]:
    """How many tensors stand in each number format."""
    found = [one.format for one in tensors]
    return {one: found.count(one) for one in sorted(set(found))}

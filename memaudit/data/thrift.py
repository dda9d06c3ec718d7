"""Structs of Thrift's compact protocol, in which Parquet writes its headers and its footer.

Strict, so that no reader takes a header for another: a field twice, or of a kind that Parquet has
not, is refused. pyarrow gives the same numbers, but ends the process over some that are damaged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

TRUTHS, NUMBERS = (1, 2), (4, 5, 6)  # kinds of values
BYTE, I32, I64, DOUBLE, BINARY, LIST, STRUCT = 3, 5, 6, 7, 8, 9, 12
DEPTH = 8  # structs and lists inside each other
BITS = 63  # of a number in groups of seven, before the last

Fields = dict[tuple[int, int], Any]  # of a struct, by number and kind


@dataclass
class Reader:
    """A place in some bytes. What it raises over damaged ones is IndexError or ValueError."""

    data: bytes
    at: int = 0

    def struct(self, depth: int = 0) -> Fields:
        """Read a struct: whole numbers, bytes, lists (kind, values) and structs in it."""
        fields: Fields = {}
        seen: set[int] = set()
        number = 0
        while head := self._byte():
            kind, step = head & 15, head >> 4
            number = number + step if step else self.number()
            if number in seen:
                raise ValueError(f"field {number} of a header stands there twice")
            seen.add(number)
            if kind not in TRUTHS:  # a truth lies in the kind itself
                fields[number, kind] = self._value(kind, depth)
        return fields

    def number(self, signed: bool = True) -> int:
        """Read a whole number."""
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return (value >> 1) ^ -(value & 1) if signed else value
            shift += 7
            if shift > BITS:
                raise ValueError("a number of more than 64 bits")

    def _value(self, kind: int, depth: int) -> Any:
        if kind in NUMBERS:
            return self.number()
        if kind == BYTE:
            return self._byte()
        if kind == DOUBLE:
            return self._bytes(8)
        if kind == BINARY:
            return self._bytes(self.number(signed=False))
        if kind == STRUCT and depth < DEPTH:
            return self.struct(depth + 1)
        if kind == LIST and depth < DEPTH:
            return self._list(depth + 1)
        raise ValueError(f"a header with a value of kind {kind} at depth {depth}")

    def _list(self, depth: int) -> tuple[int, list[Any]]:
        head = self._byte()
        kind, size = head & 15, head >> 4
        size = self.number(signed=False) if size == 15 else size
        if size > len(self.data) - self.at:  # each value has a byte at least
            raise ValueError(f"a list of {size} values at the end of a header")
        kind_of = BYTE if kind in TRUTHS else kind
        return kind, [self._value(kind_of, depth) for _ in range(size)]

    def _byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def _bytes(self, size: int) -> bytes:
        self.at += size
        if self.at > len(self.data):
            raise ValueError(f"a text of {size} bytes at the end of a header")
        return self.data[self.at - size : self.at]

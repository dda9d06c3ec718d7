"""What others made, read within bounds: regular files of a size, JSON of a size and a depth."""

from __future__ import annotations

import json
import math
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any, Literal

from memaudit.errors import ForeignFileError, InputError, MemauditError

MAX_BYTES = 1 << 30  # of a file that is read whole
JSON_BYTES = 64 << 20
JSON_DEPTH = 64  # lists and objects inside each other
STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)  # also without its end, to stay linear
BRACKET = re.compile(rb"[][{}]")


@contextmanager
def open_regular(path: Path) -> Iterator[FileIO]:
    """Open a regular file, or a link to one; anything else is refused and not waited for.

    Raises ForeignFileError.
    """
    try:
        _expect_regular(path.stat().st_mode)  # opening a device may already do something
        # A pipe that took the file's place since would be waited for without O_NONBLOCK.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError) as error:
        raise ForeignFileError(f"cannot be read: {reason(error)}") from error
    with os.fdopen(handle, "rb", buffering=0) as file:
        _expect_regular(os.fstat(handle).st_mode)
        yield file


def read_file(
    path: Path, limit: int = MAX_BYTES, *, offset: int = 0, size: int | None = None
) -> bytes:
    """Read a regular file, or `size` bytes of it from `offset`.

    Raises ForeignFileError for anything that is no regular file, is cut off, or is larger than
    `limit`; its message leaves the name of the file to the caller to add.
    """
    with open_regular(path) as file:
        length = os.fstat(file.fileno()).st_size
        wanted = length - offset if size is None else size
        if offset < 0 or wanted < 0:
            raise ForeignFileError(f"{wanted} bytes from byte {offset} are no part of a file")
        if wanted > limit:
            raise ForeignFileError(f"{wanted} bytes are more than the limit of {limit}")
        found = max(0, min(wanted, length - offset))
        if found < wanted:  # before memory is taken for what is not there
            raise ForeignFileError(f"the file ends after {found} of {wanted} bytes")
        return _read(file, offset, wanted)


def read_json(path: Path, limit: int = JSON_BYTES, *, lenient: bool = False) -> Any:
    """Read JSON from a regular file, as `parse_json` does; raises ForeignFileError."""
    return parse_json(read_file(path, limit), limit, lenient=lenient)


def parse_json(text: bytes, limit: int = JSON_BYTES, *, lenient: bool = False) -> Any:
    """Parse JSON: UTF-8, of bounded size and depth, without numbers that are not finite.

    `lenient` reads these (NaN, Infinity, 1e999) as None. Raises ForeignFileError.
    """
    if len(text) > limit:
        raise ForeignFileError(f"{len(text)} bytes of JSON are more than the limit of {limit}")
    if _depth(text) > JSON_DEPTH:
        raise ForeignFileError(
            f"JSON with lists and objects more than {JSON_DEPTH} deep: expected flatter ones"
        )
    constant = _none if lenient else _refuse

    def number(digits: str) -> float | None:
        value = float(digits)
        return value if math.isfinite(value) else constant(digits)

    with refusing(ForeignFileError, "expected JSON, found something else"):
        return json.loads(text.decode("utf-8-sig"), parse_float=number, parse_constant=constant)


class refusing:  # noqa: N801  # it is read as a verb, after with
    """Turns whatever a library raises over foreign input into an error of ours: `what` and why.

    Libraries raise nearly every kind, so that no list of kinds is complete. Errors that memaudit
    raised itself pass, except those of ForeignFileError, which get the name of the file here.
    """

    # A class, since what a generator raises stays until the next search for cycles, and with it
    # what the library had in hand: a cell of some hundred megabytes.
    def __init__(self, kind: Callable[[str], InputError], what: str) -> None:
        self._kind = kind
        self._what = what

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> Literal[False]:
        if isinstance(error, ForeignFileError):
            raise self._kind(f"{self._what}: {error}") from error
        if isinstance(error, Exception) and not isinstance(error, MemauditError):
            raise self._kind(f"{self._what}: {reason(error)}") from error
        return False


def reason(error: Exception) -> str:
    """Say what went wrong in one line, without the path that OSError adds."""
    text = (isinstance(error, OSError) and error.strerror) or str(error)
    return " ".join(text.split())[:500] or type(error).__name__


def _expect_regular(mode: int) -> None:
    if not stat.S_ISREG(mode):
        found = "a folder" if stat.S_ISDIR(mode) else "a pipe, socket or device"
        raise ForeignFileError(f"expected a regular file, found {found}")


def _read(file: FileIO, offset: int, wanted: int) -> bytes:
    try:
        file.seek(offset)
        data = file.read(wanted)
        while len(data) < wanted and (more := file.read(wanted - len(data))):
            data += more  # one call of the system reads 2 GiB at most, and less on some disks
    except OSError as error:
        raise ForeignFileError(f"cannot be read: {reason(error)}") from error
    if len(data) < wanted:
        raise ForeignFileError(f"the file ends after {len(data)} of {wanted} bytes")
    return data


def _depth(text: bytes) -> int:
    """How deep lists and objects lie inside each other; 0 where they cannot lie too deep."""
    if text.count(b"[") + text.count(b"{") <= JSON_DEPTH:
        return 0
    depth = deepest = 0
    for bracket in BRACKET.finditer(STRING.sub(b"", text)):
        depth += 1 if bracket.group() in b"[{" else -1
        deepest = max(deepest, depth)
        if deepest > JSON_DEPTH:
            break
    return deepest


def _none(_: str) -> None:
    return None


def _refuse(digits: str) -> None:
    raise ForeignFileError(f"the number {digits[:20]} is not finite: expected one that is")

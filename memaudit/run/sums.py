"""Checksums of files, in the form that `sha256sum -c` reads."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from memaudit.errors import ForeignFileError

SUMS = "SHA256SUMS"
SUMS_BYTES = 8 << 20
LONGEST = 200  # characters of a name
PART = r"[A-Za-z0-9_][A-Za-z0-9._-]*"
PLAIN = re.compile(rf"{PART}(/{PART})*")
HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Sums:
    """The sha256 (hex) of files by their names, and remarks, which programs leave aside."""

    files: Mapping[str, str] = field(default_factory=dict)
    remarks: Sequence[str] = ()


def is_plain(name: str) -> bool:
    """Whether a name has letters, digits, `.`, `_` and `-` only, and leads to no place outside."""
    return len(name) <= LONGEST and PLAIN.fullmatch(name) is not None


def sha256(content: bytes) -> str:
    """The sha256 of a content, hex."""
    return hashlib.sha256(content).hexdigest()


def write_sums(sums: Sums) -> bytes:
    """Make the lines: remarks first, then a line a file, by name."""
    lines = [f"# {one}" for one in sums.remarks]
    lines += [f"{sums.files[name]}  {name}" for name in sorted(sums.files)]
    return "".join(f"{line}\n" for line in lines).encode("ascii")


def read_sums(text: bytes) -> Sums:
    """Read lines as `write_sums` makes them; raises ForeignFileError for any others."""
    if len(text) > SUMS_BYTES:
        raise ForeignFileError(f"{len(text)} bytes are more than the limit of {SUMS_BYTES}")
    lines = text.decode("ascii", "replace").split("\n")
    remarks = [line[2:] for line in lines if line.startswith("# ")]
    files = dict(map(_line, filter(None, lines[len(remarks) :])))
    sums = Sums(files, tuple(remarks))
    if not text.isascii() or write_sums(sums) != text:
        raise ForeignFileError("its lines are not as memaudit writes them")
    return sums


def _line(line: str) -> tuple[str, str]:
    """The name and the sha256 of a line."""
    digest, _, name = line.partition("  ")
    if HEX.fullmatch(digest) is None or not is_plain(name):
        raise ForeignFileError("a line holds no sha256 with the plain name of a file")
    return name, digest

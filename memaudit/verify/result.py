"""What a verification finds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["changed", "missing", "extra"]
CHANGED: Kind = "changed"
MISSING: Kind = "missing"
EXTRA: Kind = "extra"
DIGEST = "digest"  # stands for a file where the digest that was given is another


@dataclass(frozen=True)
class Difference:
    """A file that is not as it was written, what became of it, and how that shows."""

    name: str
    kind: Kind
    why: str


@dataclass(frozen=True)
class Digest:
    """A digest that was found: what it is of, hex; `stated`: it is told, and cannot be computed."""

    of: str
    value: str
    stated: bool = False


@dataclass(frozen=True)
class Checked:
    """A run or an evidence.zip, held to its own checksums.

    `files` counts those that were looked at; `digests` are all that a given one may be. `given` is
    what the digest that was given is of, "" if none was.
    """

    place: str
    what: Literal["run", "evidence"]
    files: int
    digests: tuple[Digest, ...]
    differences: tuple[Difference, ...]
    given: str = ""

    @property
    def passes(self) -> bool:
        """Whether nothing differs."""
        return not self.differences

    def against(self, digest: str | None) -> Checked:
        """Compare with a digest that was told in another way."""
        if digest is None:
            return self
        same = [one for one in self.digests if one.value == digest.lower()]
        if same:
            return replace(self, given=same[0].of)
        found = "; ".join(f"{one.of} has {one.value}" for one in self.digests)
        why = f"{digest.lower()} was given, but {found or 'none was found'}"
        return replace(self, differences=(*self.differences, Difference(DIGEST, CHANGED, why)))

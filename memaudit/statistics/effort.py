"""What a scan took, and what an adaptive one saved."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Effort:
    """Network evaluations made, and those that the scan of all images in full takes.

    Of an adaptive scan also the attacks of its first pass (`screen`), how many images that
    `promoted`, and how many others were `sampled` at random to be scanned in full beside them;
    `reason` says why there was no first pass though one was asked for.
    """

    evaluations: int
    in_full: int
    screen: tuple[str, ...] = ()
    promoted: int | None = None
    sampled: int = 0
    reason: str = ""

    @property
    def adaptive(self) -> bool:
        """Whether a first pass chose what was scanned in full."""
        return bool(self.screen)

    @property
    def saved(self) -> float:
        """How many times fewer evaluations were made than in full."""
        return self.in_full / self.evaluations if self.evaluations else 1.0

"""What a scan took, and what an adaptive one saved."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Effort:
    """Network evaluations made, and those that the scan of all images in full takes.

    Of an adaptive scan also its first pass (`screen`), that pass's rank correlation with the full
    score on a random sample of `sampled` images, and how many images it `promoted`; `reason` says
    why there was no first pass though one was asked for.
    """

    evaluations: int
    in_full: int
    screen: str = ""
    agreement: float | None = None
    promoted: int | None = None
    sampled: int = 0
    reason: str = ""

    @property
    def saved(self) -> float:
        """How many times fewer evaluations were made than in full."""
        return self.in_full / self.evaluations if self.evaluations else 1.0

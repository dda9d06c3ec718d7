"""What a scan took, and what an adaptive one saved."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Effort:
    """Network evaluations made, and those that the scan of all images in full takes.

    Of an adaptive scan also the attacks of its first pass (`screen`) and how many images that
    `promoted`; `reason` says why there was no first pass though one was asked for.
    """

    evaluations: int
    in_full: int
    screen: tuple[str, ...] = ()
    promoted: int | None = None
    reason: str = ""

    @property
    def saved(self) -> float:
        """How many times fewer evaluations were made than in full."""
        return self.in_full / self.evaluations if self.evaluations else 1.0

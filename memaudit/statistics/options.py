"""How a scan's scores are calibrated."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """How a scan's scores are calibrated.

    `column` is the score column that is pooled; `reconstruction` is None for the preferred one of
    those that were run; `q` is the false discovery rate of `flagged`; `copy_threshold` is the own
    similarity from which the embedder calls two images copies, None if it has no such threshold;
    `embedder` is its name, for the thresholds of the literature; `rounds` counts permutations.
    """

    column: str = "margin"
    reconstruction: str | None = None
    q: float = 0.05
    copy_threshold: float | None = None
    embedder: str = ""
    rounds: int = 9999
    seed: int = 0

"""How much the excess above controls went up since a baseline, image by image."""

from __future__ import annotations

from pathlib import Path

from memaudit.comparison import compare
from memaudit.comparison.intervals import Interval
from memaudit.config import CompareConfig


def increase(base: Path, run: Path) -> Interval | None:
    """The paired increase over the images that both runs have; None if it cannot be computed.

    That of the attack that the verdict of the run rests on, all levels together; where noisy
    copies were asked for, too, the larger of the two. Raises RunDirectoryError if the runs are of
    other images or were scanned in another way.
    """
    compared = compare(CompareConfig((str(base), str(run))))
    [comparison] = compared.comparisons
    attack = compared.runs[1].record.summary.attack
    found = [
        row.excess.difference
        for row in comparison.differences
        if row.attack == attack and row.sigma is None and row.excess is not None
    ]
    return max(found, key=lambda one: one.estimate, default=None)

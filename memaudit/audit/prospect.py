"""What a scan of so many members and controls could find, before it is run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from memaudit.audit.listing import Listed
from memaudit.config import CalibrationConfig
from memaudit.statistics.conformal import controls_needed, smallest_count
from memaudit.statistics.detectable import Memory, detectable
from memaudit.statistics.doubts import fewest_controls
from memaudit.statistics.verdict import tolerated

FEW = (1, 2, 5, 10)  # memorized images, for which the controls needed are told
MORE = tuple(k * 10**power for power in (1, 2, 3, 4) for k in (4, 6, 8, 10, 15, 20, 30))


@dataclass(frozen=True)
class Prospect:
    """How few memorized images a scan can flag, and how few it finds.

    `units` and `control_units` are images, or clusters where they are told; duplicates are not
    known yet. `smallest_count` images are the fewest that can be flagged together, None if none
    can; `controls_for` gives the controls with which so few can. `finds` is the smallest number of
    images that are evidence in four of five scans if they stand above all others, None if not even
    all members would be. A verdict that nothing was found takes at most `tolerated`, and
    `controls_for_verdict` controls reach that (None: not even the largest number tried).
    """

    units: int
    control_units: int
    smallest_count: int | None
    controls_for: dict[int, int]
    finds: int | None
    tolerated: int
    controls_for_verdict: int | None

    @property
    def enough(self) -> bool:
        """Whether a scan that finds nothing may say so."""
        return self.finds is not None and self.finds <= self.tolerated


def prospect(
    listed: Sequence[Listed], calibration: CalibrationConfig, *, claims: int, inputs: int
) -> Prospect:
    """Tell what can be found; claims, and inputs (clean images, noisy copies) of each, share q."""
    members, controls = _units(listed, "member"), _units(listed, "control")
    scores, least = claims * inputs, fewest_controls(claims)
    rate = calibration.q / scores
    fewest = smallest_count(members, controls, rate)
    few = tolerated(members, calibration.tolerated_count, calibration.tolerated_share)
    memory = Memory.partly(1.0, scores)

    @cache
    def finds(count: int) -> int | None:
        return detectable(lambda _: memory, members, count, 0).count

    here = finds(controls)
    more = (count for count in (controls, *MORE) if count >= max(controls, least))
    return Prospect(
        units=members,
        control_units=controls,
        smallest_count=fewest if 0 < fewest <= members else None,
        controls_for={
            k: max(least, controls_needed(members, k, rate)) for k in FEW if k <= members
        },
        finds=here,
        tolerated=few,
        controls_for_verdict=next((n for n in more if (finds(n) or members + 1) <= few), None),
    )


def _units(listed: Sequence[Listed], split: str) -> int:
    """Images of a side, or clusters where each image has one."""
    entries = [one.entry for one in listed if one.split == split]
    names = {entry.cluster for entry in entries}
    return len(entries) if "" in names else len(names)

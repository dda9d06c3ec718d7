"""Excess above controls of two runs: its difference, images resampled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memaudit.comparison.intervals import Interval, changed_interval
from memaudit.comparison.pairing import Paired
from memaudit.comparison.records import ExcessDifference
from memaudit.statistics.dataset import tail_order
from memaudit.statistics.effects import excess_interval
from memaudit.statistics.entities import Compared

TAIL = 0.01  # of the controls lies above the threshold of the excess
ENOUGH_CONTROLS = 2  # one to set that threshold, one to count against it


def excess_difference(
    paired: Paired, tails: list[Tail], drawn: Interval, seed: int
) -> ExcessDifference | None:
    """The wider of the bootstrap and the exact interval of the members that changed sides."""
    if not tails:
        return None
    base, run = (
        excess_interval(both.members, both.controls, TAIL, seed).estimate
        for both in paired.compared
    )
    before, after = (tail.above for tail in tails)
    exact = changed_interval(before, after, np.arange(len(before)))
    return ExcessDifference(base, run, drawn.spanning(exact))


@dataclass(frozen=True, eq=False)
class Tail:
    """Excess above controls under resampling: the threshold is that of the drawn first half.

    One image of each cluster counts; `places` say which of the members and which of the controls.
    """

    places: tuple[NDArray[np.int64], NDArray[np.int64]]
    members: NDArray[np.float64]
    setting: NDArray[np.int64]  # controls of the first half, highest score first
    counting: NDArray[np.int64]
    controls: NDArray[np.float64]
    order: int

    @classmethod
    def of(cls, both: Compared, seed: int) -> Tail:
        """Take scores, and halve the controls as a scan does."""
        places = both.members.first_each, both.controls.first_each
        alone = both.controls.one_each()
        controls, half = alone.values, alone.first_half(seed)
        first, second = np.flatnonzero(half), np.flatnonzero(~half)
        highest = first[np.argsort(-controls[first], kind="stable")]
        members = both.members.one_each().values
        return cls(places, members, highest, second, controls, tail_order(len(first), TAIL))

    @property
    def above(self) -> NDArray[np.bool_]:
        """Members above the threshold, one of each cluster."""
        above: NDArray[np.bool_] = self.members > self._threshold(np.ones(len(self.controls)))
        return above

    def excess(self, members: NDArray[np.float64], controls: NDArray[np.float64]) -> float:
        """Share of members minus share of the second half above the threshold, all weighted."""
        members, controls = members[self.places[0]], controls[self.places[1]]
        threshold, counted = self._threshold(controls), controls[self.counting]
        share = members @ (self.members > threshold) / members.sum()
        by_chance = counted @ (self.controls[self.counting] > threshold) / max(1, counted.sum())
        return float(share - by_chance)

    def _threshold(self, controls: NDArray[np.float64]) -> np.float64:
        reached = np.searchsorted(np.cumsum(controls[self.setting]), self.order)
        lowest: np.float64 = self.controls[self.setting[min(int(reached), len(self.setting) - 1)]]
        return lowest

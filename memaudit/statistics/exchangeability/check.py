"""Are members and controls alike in what a picture shows of its score?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from memaudit.data import PROPERTIES
from memaudit.statistics.dataset import mann_whitney_permutation
from memaudit.statistics.effects import auc_interval
from memaudit.statistics.entities import Sides
from memaudit.statistics.exchangeability.expected import Expected
from memaudit.statistics.exchangeability.separation import Separation, separations

LEVEL = 0.01  # of the alarm, over all inputs
ENOUGH = 6  # images of the smaller side, with which there are labels enough
NAMES = [name for name, _ in PROPERTIES]


@dataclass(frozen=True)
class Exchangeability:
    """Whether the sides differ in the score that their pictures predict.

    `members` and `controls` are the images (or clusters) used. `p_value` is two-sided and corrected
    for the inputs; None where the pictures were not described, or where so few images on a side
    have no test at level .01. `auc` is the chance that a member's predicted score is the higher.
    `explained` is the share of the variance of the controls' scores that is predicted.
    `separates` names properties that differ between the sides, strongest first, whether or not they
    tell anything of the score.
    """

    members: int
    controls: int
    explained: float
    auc: float
    p_value: float | None
    separates: tuple[Separation, ...]

    @property
    def alarm(self) -> bool:
        """Whether the sides differ too much for a verdict."""
        return self.p_value is not None and self.p_value <= LEVEL


def exchangeability(
    expected: Expected, properties: pd.DataFrame, sides: Sides, rounds: int, seed: int
) -> Exchangeability | None:
    """Compare the sides by their predicted scores; `properties` are by example id.

    None without both sides.
    """
    if not (sides.members and sides.controls):
        return None
    both = [sides.compare(expected.blind[what]) for what in expected.blind]
    members, controls = both[0].members.units, both[0].controls.units
    p_value = None
    if can_be_tested(members, controls) and expected.explained is not None:
        p_values = [
            mann_whitney_permutation(one.members, one.controls, rounds, seed, two_sided=True)
            for one in both
        ]
        p_value = min(1.0, len(p_values) * min(p_values))
    aucs = [auc_interval(one.members, one.controls).estimate for one in both]
    told = properties.reindex([*sides.members, *sides.controls])
    is_member = np.arange(len(told)) < len(sides.members)
    named = set(NAMES) <= set(told.columns)
    return Exchangeability(
        members=members,
        controls=controls,
        explained=expected.explained or 0.0,
        auc=max(aucs, key=lambda value: abs(value - 0.5)),
        p_value=p_value,
        separates=separations(told, is_member) if named else (),
    )


def can_be_tested(members: int, controls: int) -> bool:
    """Whether a two-sided permutation test can come below the alarm's level at all."""
    few = min(members, controls, ENOUGH)
    return math.comb(members + controls, few) >= 2 / LEVEL

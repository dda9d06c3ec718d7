"""P-values of members, by one score or by several that share the level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memaudit.records import Input
from memaudit.statistics.conformal import benjamini_hochberg, conformal_p
from memaudit.statistics.entities import Sides
from memaudit.statistics.probes import Probe, probes_of
from memaudit.statistics.tail import Tail, extrapolated_p

NAMES = ["p_value", "q_value", "p_extrapolated", "q_extrapolated"]


@dataclass(frozen=True)
class InputTail:
    """The tail that the extrapolated p-values of an attack's input go on by."""

    attack: str
    input: Input
    tail: Tail


@dataclass(frozen=True, eq=False)
class JointP:
    """P and q of each member, exact and extrapolated ([members, 4], NAMES), and what they rest on.

    `by_attack` are the same by the scores of one attack. `probes` are those that give each member
    its p-value.
    """

    values: NDArray[np.float64]
    by_attack: dict[str, NDArray[np.float64]]
    probes: list[Probe]
    tails: tuple[InputTail, ...]


def joint_p_values(by_probe: pd.DataFrame, sides: Sides, seed: int) -> JointP:
    """The smallest p of the scores [example, Probe] times their number, and which score that is.

    What is flagged at q is what some score alone flags at q over their number, so the false
    discovery rate is at most q.
    """
    probes = probes_of(by_probe)
    apart = [_p_values(by_probe[one], sides, seed) for one in probes]
    values = np.stack([one.values for one in apart])
    shared = np.minimum(1.0, len(probes) * values).round(12)
    scores = by_probe.loc[list(sides.members)].to_numpy(np.float64).T
    order = np.lexsort((-scores, values[:, :, 0]), axis=0)  # ties in p: the larger score
    tails = [
        InputTail(probe.attack, probe.input, one.tail)
        for probe, one in zip(probes, apart, strict=True)
    ]
    attacks = np.array([one.attack for one in probes])
    return JointP(
        values=shared.min(axis=0),
        by_attack={name: shared[attacks == name].min(axis=0) for name in dict.fromkeys(attacks)},
        probes=[probes[k] for k in order[0]],
        tails=tuple(tails),
    )


@dataclass(frozen=True, eq=False)
class _OfInput:
    values: NDArray[np.float64]
    tail: Tail


def _p_values(score: pd.Series[float], sides: Sides, seed: int) -> _OfInput:
    both = sides.compare(score)
    controls = both.controls
    exact = conformal_p(both.members.values, controls.values, controls.weights)
    beyond, tail = extrapolated_p(both.members, controls, seed)
    columns = [p for one in (exact, beyond) for p in (one, benjamini_hochberg(one))]
    return _OfInput(np.column_stack(columns), tail)

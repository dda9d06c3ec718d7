"""P-values of members, of one input or of two that share the level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memaudit.records import Input
from memaudit.statistics.conformal import benjamini_hochberg, conformal_p
from memaudit.statistics.entities import Sides
from memaudit.statistics.probes import INPUTS
from memaudit.statistics.tail import Tail, extrapolated_p

NAMES = ["p_value", "q_value", "p_extrapolated", "q_extrapolated"]


@dataclass(frozen=True)
class InputTail:
    """The tail that the extrapolated p-values of an input go on by."""

    input: Input
    tail: Tail


@dataclass(frozen=True, eq=False)
class JointP:
    """P and q of each member, exact and extrapolated ([members, 4], NAMES), and what they rest on.

    `inputs` are those that give each member its p-value.
    """

    values: NDArray[np.float64]
    inputs: list[Input]
    tails: tuple[InputTail, ...]


def joint_p_values(by_input: pd.DataFrame, sides: Sides, seed: int) -> JointP:
    """The smaller p of the inputs times their number, and which input that is.

    What is flagged at q is what either input alone flags at q over their number, so the false
    discovery rate is at most q.
    """
    inputs = [one for one in INPUTS if one in by_input]
    apart = [_p_values(by_input[one], sides, seed) for one in inputs]
    values = np.stack([one.values for one in apart])
    joint = np.minimum(1.0, len(inputs) * values.min(axis=0)).round(12)
    scores = by_input.loc[list(sides.members)].to_numpy(np.float64).T
    order = np.lexsort((-scores, values[:, :, 0]), axis=0)  # ties in p: the larger score
    tails = tuple(InputTail(what, one.tail) for what, one in zip(inputs, apart, strict=True))
    return JointP(joint, [inputs[k] for k in order[0]], tails)


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

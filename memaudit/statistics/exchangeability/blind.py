"""Classifiers that never see the model must not tell members from controls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memaudit.data import PROPERTIES
from memaudit.records import Vectors
from memaudit.statistics.exchangeability.encoding import encode, encode_captions
from memaudit.statistics.exchangeability.separation import Separation, separations
from memaudit.statistics.exchangeability.smoother import (
    Matrix,
    held_out,
    held_out_auc,
    mixed_kernel,
    permutation_p,
)

LEVEL = 0.01  # of the alarm, over both baselines
FEWEST = 20  # images a side
MOST = 500  # images a side, as benchmarked; memory grows with its square, time with its cube
NAMES = [name for name, _ in PROPERTIES]


@dataclass(frozen=True)
class Baseline:
    """One blind classifier: its leave-one-out AUC, and its p-value, one-sided and exact."""

    features: str
    auc: float
    p_value: float


@dataclass(frozen=True)
class Exchangeability:
    """Whether members can be told from controls without the model.

    `members` and `controls` are the images used, `p_value` is corrected for all baselines, and
    `separates` names single properties that differ, strongest first; it is empty without an alarm.
    """

    members: int
    controls: int
    baselines: tuple[Baseline, ...]
    p_value: float
    alarm: bool
    separates: tuple[Separation, ...]


def exchangeability(
    vectors: Vectors,
    properties: pd.DataFrame,
    member: NDArray[np.bool_],
    seed: int = 0,
    captions: bool = False,
) -> Exchangeability | None:
    """Classify embeddings, and file properties, with the labels permuted for the p-values.

    `vectors` [N, D], `properties` N rows with the columns named in PROPERTIES, `member` [N]; one
    row a duplicate group, or copies would be each other's evidence. Their order does not matter.
    `captions`: the model is told those in the column `prompt`, so they are classified too. At most
    MOST a side are used, drawn at random. None with fewer than FEWEST on a side.
    """
    if min(member.sum(), (~member).sum()) < FEWEST:
        return None
    rng = np.random.default_rng(seed)
    used = _draw(properties, member, rng)
    table, member = properties[NAMES].iloc[used].reset_index(drop=True), member[used]
    features = {"embeddings": vectors[used].astype(np.float64), "file properties": encode(table)}
    if captions:
        features["captions"] = encode_captions(properties["prompt"].iloc[used])
    baselines = tuple(_baseline(name, features[name], member, rng) for name in features)
    p_value = min(1.0, len(baselines) * min(baseline.p_value for baseline in baselines))
    alarm = p_value <= LEVEL
    return Exchangeability(
        members=int(member.sum()),
        controls=int((~member).sum()),
        baselines=baselines,
        p_value=p_value,
        alarm=alarm,
        separates=separations(table, member) if alarm else (),
    )


def _baseline(
    name: str, features: Matrix, member: NDArray[np.bool_], rng: np.random.Generator
) -> Baseline:
    hat = held_out(mixed_kernel(features))
    return Baseline(name, held_out_auc(hat, member), permutation_p(hat, member, rng))


def _draw(
    properties: pd.DataFrame, member: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Rows of at most MOST images a side, in an order that their properties alone decide."""
    order = properties[NAMES].reset_index(drop=True).sort_values(NAMES).index.to_numpy()
    sides = [order[member[order]], order[~member[order]]]
    drawn = [side if len(side) <= MOST else rng.choice(side, MOST, replace=False) for side in sides]
    return order[np.isin(order, np.concatenate(drawn))]

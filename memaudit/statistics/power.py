"""Could the scan have seen anything? What the perfect memorizer of the same images shows in it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from memaudit.records import CLEAN, Input, Primary
from memaudit.statistics.combine import closeness, input_scores, level_means
from memaudit.statistics.conformal import rounded
from memaudit.statistics.effects import share_above, upper_quantile
from memaudit.statistics.levels import Level
from memaudit.statistics.probes import Probe, inputs_in

FALSE = 0.01  # false positives at which images count as found
ENOUGH = 0.5  # least share of a perfect memorizer's images that a scan must find


@dataclass(frozen=True)
class LevelPower:
    """One noise level: the share of the memorizer's images found at 1 % false positives.

    `controls_own_similarity` is the median of held-out images under the memorizer, None of attacks
    that have no such column; `input` tells noisy copies from clean images.
    """

    sigma: float
    share: float
    controls_own_similarity: float | None
    input: Input = CLEAN


@dataclass(frozen=True)
class Memorized:
    """How many images the memorizer holds, of how many members."""

    candidates: int
    members: int


@dataclass(frozen=True)
class Power:
    """What a perfect memorizer of the members shows, all levels combined, at 1 % false positives.

    `share` of its images found, with a 95 % interval (Clopper and Pearson 1934); `members` and
    `controls` are the queries, `candidates` the images memorized: fewer than `of` where memory did
    not hold them all, which overstates power. Of images seen once and untold the share is the most
    that any model can show at that noise. Copies and captions raise it and are counted; a real
    network shows less.
    """

    share: float
    low: float
    high: float
    members: int
    controls: int
    candidates: int
    of: int
    levels: tuple[LevelPower, ...]


def measure_power(
    scores: pd.DataFrame, members: NDArray[np.bool_], primary: Primary, memorized: Memorized
) -> Power:
    """Calibrate the memorizer's scores; `members` tells members among the ids, ascending."""
    by_input = input_scores(scores, primary).to_numpy(np.float64)
    found, count = _share_found(by_input, members), int(members.sum())
    interval = stats.binomtest(round(found * count), count).proportion_ci(method="exact")
    return Power(
        share=found,
        low=float(interval.low),
        high=float(interval.high),
        members=count,
        controls=len(members) - count,
        candidates=memorized.candidates,
        of=memorized.members,
        levels=tuple(
            level
            for one in inputs_in(scores, primary.attack)
            for level in _by_level(scores, members, primary, one)
        ),
    )


def _share_found(by_input: NDArray[np.float64], members: NDArray[np.bool_]) -> float:
    """Share of members found under any of the inputs, [example, input], which share the 1 %."""
    threshold = upper_quantile(rounded(by_input[~members]), 1 - FALSE / by_input.shape[1])
    return float(np.mean((rounded(by_input[members]) > threshold).any(axis=1)))


def _by_level(
    scores: pd.DataFrame, members: NDArray[np.bool_], primary: Primary, what: Input
) -> list[LevelPower]:
    probe = Probe(primary.attack, what)
    closer = closeness(scores, primary.of(what), probe)
    own = None
    if "own_similarity" in scores:
        own = level_means(scores, "own_similarity", probe)[~members].median()
    return [
        LevelPower(
            sigma=float(sigma),
            share=share_above(values[members], values[~members]),
            controls_own_similarity=None if own is None else float(own[sigma]),
            input=what,
        )
        for sigma, values in zip(closer.columns, closer.to_numpy(dtype=np.float64).T, strict=True)
    ]


def graded(
    levels: tuple[Level, ...], attack: str, power: Power, copy_threshold: float | None
) -> tuple[Level, ...]:
    """Give each level of an attack its power, and say what it is worth.

    "no power": even the perfect memorizer is found for fewer than half of its images. "too easy":
    half of the held-out images come back as copies from the model under audit, so that coming back
    shows nothing; noisy copies, whose noise no other model can return, are never too easy. Else
    "informative".
    """
    shares = {(Probe(attack, level.input), level.sigma): level.share for level in power.levels}
    return tuple(
        _graded(level, shares[level.probe, level.sigma], copy_threshold)
        if (level.probe, level.sigma) in shares
        else level
        for level in levels
    )


def _graded(level: Level, share: float, copy_threshold: float | None) -> Level:
    held_out = level.own_similarity_controls
    if share < ENOUGH:
        return replace(level, power=share, grade="no power")
    easy = (
        level.input == CLEAN
        and held_out is not None
        and copy_threshold is not None
        and held_out >= copy_threshold
    )
    return replace(level, power=share, grade="too easy" if easy else "informative")

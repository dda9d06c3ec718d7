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
from memaudit.statistics.doubts import ENOUGH
from memaudit.statistics.effects import chance_above, share_above, upper_quantile
from memaudit.statistics.levels import Grade, Level
from memaudit.statistics.probes import Probe, inputs_in

FALSE = 0.01  # false positives at which images count as found


@dataclass(frozen=True)
class LevelPower:
    """One noise level: the share of the memorizer's images found at 1 % false positives.

    `controls_own_similarity` is the median of held-out images under the memorizer, None of attacks
    that have no such column; `input` tells noisy copies from clean images.
    """

    attack: str
    level: float
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

    It is of reconstruction, because an attack on membership finds any perfect memory; `levels` are
    of both.

    `share` of its images found, with a 95 % interval (Clopper and Pearson 1934); `members` and
    `controls` are the queries, `candidates` the images memorized: fewer than `of` where memory did
    not hold them all, which overstates power. Of images seen once and untold the share is the most
    that any model can show at that noise. Copies and captions raise it and are counted; a real
    network shows less.
    """

    attack: str
    share: float
    low: float
    high: float
    members: int
    controls: int
    candidates: int
    of: int
    levels: tuple[LevelPower, ...]

    @property
    def false_positives(self) -> float:
        """Share of held-out images that so few controls let count as found, 0 .. 1."""
        inputs = len({level.input for level in self.levels if level.attack == self.attack}) or 1
        return inputs * chance_above(self.controls, 1 - FALSE / inputs)


def measure_power(
    scores: pd.DataFrame,
    members: NDArray[np.bool_],
    claims: tuple[Primary, ...],
    memorized: Memorized,
) -> Power:
    """Calibrate the memorizer's scores; `members` tells members among the ids, ascending.

    The first of `claims` is that of reproduction.
    """
    primary = claims[0]
    by_input = input_scores(scores, primary).to_numpy(np.float64)
    found, count = _share_found(by_input, members), int(members.sum())
    interval = stats.binomtest(round(found * count), count).proportion_ci(method="exact")
    return Power(
        attack=primary.attack,
        share=found,
        low=float(interval.low),
        high=float(interval.high),
        members=count,
        controls=len(members) - count,
        candidates=memorized.candidates,
        of=memorized.members,
        levels=tuple(
            level
            for claim in claims
            for one in inputs_in(scores, claim.attack)
            for level in _by_level(scores, members, claim, one)
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
    if "own_similarity" in scores and probe.rows(scores)["own_similarity"].notna().any():
        own = level_means(scores, "own_similarity", probe)[~members].median()
    return [
        LevelPower(
            attack=primary.attack,
            level=float(level),
            share=share_above(values[members], values[~members]),
            controls_own_similarity=None if own is None else float(own[level]),
            input=what,
        )
        for level, values in zip(closer.columns, closer.to_numpy(dtype=np.float64).T, strict=True)
    ]


def graded(levels: tuple[Level, ...], power: Power) -> tuple[Level, ...]:
    """Give each level that the memorizer was tried at its power, and say what it is worth.

    "no power": even the perfect memorizer is found for fewer than half of its images. Else it is
    its power times the share of held-out images that do not come back as copies from the model
    under audit, for where those come back too, coming back shows nothing: from one half on
    "informative", from a quarter on "partly easy", below that "too easy".
    """
    shares = {
        (Probe(level.attack, level.input), level.level): level.share for level in power.levels
    }
    return tuple(
        _graded(replace(level, power=shares[level.probe, level.level]))
        if (level.probe, level.level) in shares
        else level
        for level in levels
    )


def worth(levels: tuple[Level, ...], attack: str) -> float:
    """What all levels of an attack together are worth, those without power left out."""
    graded_levels = (one for one in levels if one.grade not in ("", "no power"))
    return sum(level.worth for level in graded_levels if level.attack == attack)


def _graded(level: Level) -> Level:
    if (level.power or 0.0) < ENOUGH:
        return replace(level, grade="no power")
    grade: Grade = "too easy"
    if level.worth >= ENOUGH:
        grade = "informative"
    elif level.worth >= ENOUGH / 2:
        grade = "partly easy"
    return replace(level, grade=grade)

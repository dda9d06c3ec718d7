"""How few memorized images would this scan find?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from memaudit.records import Primary
from memaudit.statistics.adaptive import claim_scores
from memaudit.statistics.conduct import Calibrated
from memaudit.statistics.conformal import rounded
from memaudit.statistics.dataset import tail_law
from memaudit.statistics.doubts import HALF_LEVEL
from memaudit.statistics.options import Options
from memaudit.statistics.probes import first_pass

CHANCE = 0.8  # with which the smallest number is found
TRIALS = 200  # simulated scans of a number, fewer of very large ones
VALUES = 2_000_000  # simulated scores of a number
TIE = 1e-9  # of the largest score, so that images drawn twice tie at random
MOST_NULL = 1000  # images that are not memorized, from which others are drawn
LOTS = 4  # of memorized images that are put among them
HELD = "held "
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Detectable:
    """The smallest number of memorized images that a scan of this size finds.

    `count` is found in 80 of 100 scans, None if not even all members would be; `members` and
    `controls` are the images (or clusters) of a scan.
    """

    count: int | None
    members: int
    controls: int


@dataclass(frozen=True, eq=False)
class Memory:
    """Scores of images that are not memorized and of images that are, [images, kinds, scores].

    Both kinds, raw and adjusted, must be evidence, each by one of the scores.
    """

    null: Values
    memorized: Values

    @classmethod
    def partly(cls, share: float, scores: int = 1) -> Memory:
        """Memorized images of which a share scores above all others, and the rest as they do."""
        null = np.linspace(0, 1, 1000)
        above = round(share * len(null))
        held = np.where(np.arange(len(null)) < above, 2.0, null[::-1])
        shape = (len(null), 1, scores)
        return cls(*(np.broadcast_to(one[:, None, None], shape) for one in (null, held)))


def detectable_in(
    data: Calibrated, memorizer: pd.DataFrame, share: float, options: Options
) -> Detectable:
    """The smallest number that this scan finds, by what a memorizer of its members shows in it.

    `memorizer` are scores of members that it holds. An adaptive scan scores too few images in full
    to compare with; there a memorized image stands above all others, or is missed like the rest in
    1 - `share` of cases.
    """
    both = data.sides.compare(data.adjusted.max(axis=1))
    attacks = [claim.attack for claim in options.claims]
    rows = data.scores[data.scores["attack"].isin(attacks)]
    controls = rows[rows["example_id"].isin(data.sides.controls)]
    sizes = both.members.units, both.controls.units
    if first_pass(data.scores).any() or controls.empty or memorizer.empty:
        partly = Memory.partly(share, data.adjusted.shape[1])
        return detectable(lambda _: partly, *sizes, options.seed)
    mixture = Mixture(
        controls=controls,
        memorizer=memorizer[memorizer["attack"].isin(attacks)],
        expected=data.raw - data.adjusted,
        claims=options.claims,
        size=sum(sizes),
    )
    return detectable(mixture, *sizes, options.seed)


def detectable(
    memory: Callable[[int], Memory], members: int, controls: int, seed: int
) -> Detectable:
    """Find the smallest count by simulated scans; `memory` gives the scores where k are memorized.

    Images that are not memorized are drawn from those scores on both sides alike.
    """
    if min(members, controls) < 1:
        return Detectable(None, members, controls)

    def found(count: int) -> bool:
        rng = np.random.default_rng((seed, count))
        return _chance(memory(count), _Size(count, members, controls), rng) >= CHANCE

    low, high = 0, 1  # not found, perhaps found
    while high < members and not found(high):
        low, high = high, min(members, 2 * high)
    if high == members and not found(members):
        return Detectable(None, members, controls)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if found(middle) else (middle, high)
    return Detectable(high, members, controls)


@dataclass(frozen=True)
class _Size:
    memorized: int
    members: int
    controls: int

    @property
    def innocent(self) -> int:
        """Images that are not memorized."""
        return self.members - self.memorized + self.controls


def _chance(memory: Memory, size: _Size, rng: np.random.Generator) -> float:
    """Share of simulated scans that are evidence."""
    trials = int(np.clip(VALUES // (size.members + size.controls), 20, TRIALS))
    law = tail_law(size.members, size.controls)
    by_chance = np.sort(law.smallest(1999, 0))
    hits = 0
    for _ in range(trials):
        drawn = memory.null[rng.integers(len(memory.null), size=size.innocent)]
        null = drawn + TIE * rng.standard_normal(drawn.shape) * np.abs(memory.null).max()
        kept = memory.memorized[rng.integers(len(memory.memorized), size=size.memorized)]
        sides = np.concatenate([kept, null[size.controls :]]), null[: size.controls]
        hits += _is_evidence(*sides, by_chance)
    return hits / trials


def _is_evidence(members: Values, controls: Values, by_chance: Values) -> bool:
    """The rule of the verdict: both kinds of score, each by one of the scores."""
    kinds, scores = members.shape[1:]
    return all(
        any(
            _smallest_p(members[:, kind, what], controls[:, kind, what], by_chance)
            <= HALF_LEVEL / scores
            for what in range(scores)
        )
        for kind in range(kinds)
    )


def _smallest_p(members: Values, controls: Values, by_chance: Values) -> float:
    """The smaller of the smallest q and the data-set p, whose rank sum is taken as normal."""
    n, m = len(members), len(controls)
    low, high = np.sort(controls), np.sort(members)
    below = np.searchsorted(low, high, side="left")  # controls below each member; none tie
    p_values = (1 + m - below[::-1]) / (m + 1)  # ascending
    q = float((p_values * n / np.arange(1, n + 1)).min())  # of Benjamini and Hochberg
    law = tail_law(n, m)
    counts = n - np.searchsorted(high, low[m - np.array(law.orders)], side="right")
    rank = np.searchsorted(by_chance, law.p_values(counts[None]).min() * (1 + 1e-9), side="right")
    tail = float((1 + rank) / (1 + len(by_chance)))
    spread = np.sqrt(n * m * (n + m + 1) / 12)
    whole = float(special.ndtr((n * m / 2 - below.sum()) / spread))
    return min(q, 2 * min(tail, whole))


@dataclass(frozen=True, eq=False)
class Mixture:
    """Rows of scores of the model's own controls, and of images that a memorizer holds.

    Where k of them are memorized, both are put on the scale of a pool of such a mixture.
    `expected` are the predictions of the scores [example, Probe], on the model's own scale.
    """

    controls: pd.DataFrame
    memorizer: pd.DataFrame
    expected: pd.DataFrame
    claims: tuple[Primary, ...]
    size: int  # images of the pool

    def __call__(self, count: int) -> Memory:
        """The scores of both where so many images of the pool are memorized.

        The memorized images are put among the controls in as many lots as needed, each as large a
        share as in the pool.
        """
        names = self.controls["example_id"].unique()[:MOST_NULL]
        controls = self.controls[self.controls["example_id"].isin(names)]
        held = self.memorizer["example_id"].unique()
        share = min(0.5, count / self.size)
        few = max(1, min(len(held), round(share / (1 - share) * len(names))))
        lots = [held[start : start + few] for start in range(0, len(held), few)][:LOTS]
        found = [self._scores(controls, lot) for lot in lots]
        null = found[0].loc[[(False, name) for name in names]]
        memorized = pd.concat([one.loc[True] for one in found])
        return Memory(self._kinds(null.droplevel(0)), self._kinds(memorized))

    def _scores(self, controls: pd.DataFrame, lot: NDArray[np.object_]) -> pd.DataFrame:
        """Scores of controls and of a lot, by whether memorized and by id."""
        held = self.memorizer[self.memorizer["example_id"].isin(lot)]
        both = [controls, held.assign(example_id=HELD + held["example_id"])]
        scores = claim_scores(pd.concat(both, ignore_index=True), self.claims)
        is_held = scores.index.str.startswith(HELD)
        scores.index = pd.MultiIndex.from_arrays([is_held, scores.index.str.removeprefix(HELD)])
        return scores

    def _kinds(self, raw: pd.DataFrame) -> Values:
        told = self.expected.reindex(raw.index).fillna(0.0).to_numpy(np.float64)
        scores = raw.to_numpy(np.float64)
        return rounded(np.stack([scores, scores - told], axis=1))

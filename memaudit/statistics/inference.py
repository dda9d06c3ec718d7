"""Was this set of images used in training? Data-set inference (Dubinski et al. 2024).

All attacks that were run are combined (arXiv 2411.12858), so that traces too weak to show in any of
them, or in any image, may show in the set. It is exploratory: no part of the verdict, and no
statement about one image.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memaudit.records import Input, Phase
from memaudit.statistics.combine import LOWEST, closeness
from memaudit.statistics.conduct import Calibrated
from memaudit.statistics.contrast import FOLDS, Contrast, Units, Way, contrast, unit_spread
from memaudit.statistics.effects import auc
from memaudit.statistics.entities import Sides
from memaudit.statistics.exchangeability.check import NAMES
from memaudit.statistics.exchangeability.encoding import features
from memaudit.statistics.foretold import foretold
from memaudit.statistics.options import Options
from memaudit.statistics.probes import probes_in

LEVEL = 0.01  # of the published procedure
FEWEST = 20  # images, or clusters, of each side
SIZES = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000)  # of subsamples
SUBSAMPLES, ROUNDS = 50, 199  # of each size, and relabellings of each
SUFFICES = 0.8  # of the subsamples
STRONGEST = 5  # features that are named
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Feature:
    """One column of an attack at one noise level, higher where images are the more suspicious.

    `difference` is the mean of members less that of controls, in standard deviations, of what is
    left when the prediction by pictures is taken off.
    """

    attack: str
    input: Input
    phase: Phase
    column: str
    level: float
    difference: float


@dataclass(frozen=True)
class Combination:
    """How far apart the sides are by one way to weigh the features.

    `difference` is the mean score of members less that of controls, in standard deviations, `auc`
    the chance that a member scores higher.
    """

    difference: float
    auc: float
    p_value: float


@dataclass(frozen=True)
class Inference:
    """Whether members as a set differ from controls in the features of all attacks.

    `members` and `controls` are images, or clusters. The features are added with `equal` weights,
    where members can only be higher, and with `learned` ones, where any difference counts;
    `p_value` is the smaller of both, corrected for there being two. `suspicious` is the share of
    the learned difference that comes of features with a positive weight. Of the features'
    variance pictures predict the share `explained`; `pictures_p` is the p-value of what they
    predict, None if that is nothing. `enough` is the smallest number of members that differ at
    LEVEL in at least 80 % of `subsamples`, None if not even all do.
    """

    attacks: tuple[str, ...]
    features: int
    members: int
    controls: int
    p_value: float
    equal: Combination
    learned: Combination
    suspicious: float
    explained: float
    pictures_p: float | None
    enough: int | None
    subsamples: int
    rounds: int
    strongest: tuple[Feature, ...]

    @property
    def shifted(self) -> bool:
        """Whether the sides differ in what their pictures predict of the features."""
        return self.pictures_p is not None and self.pictures_p <= LEVEL

    @property
    def differs(self) -> bool:
        """Whether the sides differ at all."""
        return self.p_value <= LEVEL

    @property
    def closer(self) -> bool:
        """Whether members lie on the side where training puts them, by the way that tells more."""
        return self.equal.p_value <= self.learned.p_value or self.suspicious > 0.5


def infer(data: Calibrated, options: Options) -> Inference | None:
    """Compare the sides in the features of all attacks.

    What pictures predict of a feature is taken off first. The prediction is fitted to all images
    without their labels, which keeps relabelling exact; one fitted to controls would have to be
    made anew each time. None with fewer than two features, or FEWEST images or clusters a side.
    """
    rows = _Rows.of(data.sides, options.seed)
    if min(rows.members, rows.controls) < FEWEST:
        return None
    table = _features(data.scores, rows.ids, options)
    if table.shape[1] < 2:
        return None
    values = unit_spread(table.to_numpy(np.float64))
    told = _told(values, data, rows, captions=options.captions)
    rounds, seed = options.rounds, options.seed
    by_pictures = contrast(rows.units(told), rounds, seed).p_value if told.any() else None
    left = rows.units(values - told)
    found = contrast(left, rounds, seed)
    return Inference(
        attacks=tuple(dict.fromkeys(table.columns.get_level_values("attack"))),
        features=table.shape[1],
        members=rows.members,
        controls=rows.controls,
        p_value=found.p_value,
        equal=_combination(found.equal, left),
        learned=_combination(found.learned, left),
        suspicious=found.suspicious,
        explained=max(0.0, 1 - float(np.mean((values - told).var(axis=0)))),
        pictures_p=by_pictures,
        enough=_enough(left, found, seed),
        subsamples=SUBSAMPLES,
        rounds=rounds,
        strongest=_strongest(table.columns, _differences(left)),
    )


def _told(values: Values, data: Calibrated, rows: _Rows, *, captions: bool) -> Values:
    """What pictures predict of the features, [n, d]; nothing where they were not described."""
    seen = features(data.pool, NAMES, captions=captions).reindex(rows.ids).to_numpy(np.float64)
    return foretold(values, seen[:, ~np.isnan(seen).any(axis=0)], rows.cluster % FOLDS)


def _combination(way: Way, units: Units) -> Combination:
    chance = auc(way.scores[units.member], way.scores[~units.member])
    return Combination(way.difference, chance, way.p_value)


@dataclass(frozen=True, eq=False)
class _Rows:
    """Images that calibrate, clusters in the order of a hash, whichever side they are on.

    `cluster` [n] and `unit` [n] count from 0; a cluster with images on both sides makes two units.
    """

    ids: list[str]
    cluster: NDArray[np.int64]
    unit: NDArray[np.int64]
    is_member: NDArray[np.bool_]  # [units]

    @classmethod
    def of(cls, sides: Sides, seed: int) -> _Rows:
        names = {one: sides.clusters.get(one) or one for one in (*sides.members, *sides.controls)}
        ids = sorted(names, key=lambda one: (_hash(names[one], seed), one))
        members = set(sides.members)
        cluster, _ = pd.factorize(np.array([names[one] for one in ids], dtype=object))
        pairs = 2 * cluster + np.array([one in members for one in ids], dtype=np.int64)
        found, unit = np.unique(pairs, return_inverse=True)
        return cls(ids, cluster.astype(np.int64), unit.astype(np.int64), found % 2 == 1)

    @property
    def members(self) -> int:
        return int(self.is_member.sum())

    @property
    def controls(self) -> int:
        return len(self.is_member) - self.members

    def units(self, values: Values) -> Units:
        """Means of the images of each unit."""
        means = pd.DataFrame(values).groupby(self.unit).mean().to_numpy(np.float64)
        cluster = np.zeros(len(means), np.int64)
        cluster[self.unit] = self.cluster
        return Units(means, self.is_member, cluster)


def _hash(name: str, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed} {name}".encode(), digest_size=8).digest()


def _features(scores: pd.DataFrame, ids: list[str], options: Options) -> pd.DataFrame:
    """Each column of each attack at each level, [id, feature], standardised without the labels.

    What only the promoted images of an adaptive scan have is left out, and so are inputs that no
    verdict rests on and columns that do not vary. Values beyond three spreads are drawn in: this is
    about the set, and the upper tail is a test of its own.
    """
    primaries = {one.attack: one for one in (*options.claims, *options.others)}
    parts = {}
    for probe in probes_in(scores):
        rows = probe.rows(scores)
        if probe.input not in options.primary.inputs or not set(ids) <= set(rows["example_id"]):
            continue
        primary = primaries.get(probe.attack, options.primary)
        for column in primary.of(probe.input):
            levels = closeness(rows, (column,), probe).loc[ids].clip(LOWEST, -LOWEST)
            told = levels.loc[:, levels.std() > 0]
            parts[probe.attack, probe.input, probe.phase, column.name] = told
    if not parts:
        return pd.DataFrame(index=ids)
    return pd.concat(parts, axis=1, names=["attack", "input", "phase", "column"])


def _differences(units: Units) -> Values:
    """Means of members less those of controls, [d], in standard deviations."""
    values = unit_spread(units.values)
    found: Values = values[units.member].mean(axis=0) - values[~units.member].mean(axis=0)
    return found


def _strongest(columns: pd.Index, differences: Values) -> tuple[Feature, ...]:
    order = np.argsort(-np.abs(differences).round(9), kind="stable")[:STRONGEST].tolist()
    found = []
    for k in order:
        attack, what, phase, column, level = columns[k]
        found.append(Feature(attack, what, phase, column, float(level), float(differences[k])))
    return tuple(found)


def _enough(units: Units, found: Contrast, seed: int) -> int | None:
    """The smallest number of members that suffices, with as many controls or all.

    Sizes go up to half of the members: larger subsamples would be much the same images each time,
    and say how the whole does once more. The share of 50 subsamples has a standard error of .06.
    """
    if found.p_value > LEVEL:
        return None
    count = int(units.member.sum())
    for size in (one for one in SIZES if 2 * one <= count):
        p_values = [*_p_of_subsamples(units, size, np.random.default_rng((seed, size)))]
        if np.mean(np.array(p_values) <= LEVEL) >= SUFFICES:
            return size
    return count


def _p_of_subsamples(units: Units, size: int, rng: np.random.Generator) -> Iterator[float]:
    members, controls = np.flatnonzero(units.member), np.flatnonzero(~units.member)
    for number in range(SUBSAMPLES):
        chosen = [
            rng.choice(side, min(size, len(side)), replace=False) for side in (members, controls)
        ]
        yield contrast(units.at(np.concatenate(chosen)), ROUNDS, number).p_value

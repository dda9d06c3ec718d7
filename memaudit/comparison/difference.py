"""What differs between two runs at one noise level, or at all together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memaudit.comparison.excess import ENOUGH_CONTROLS, Tail, excess_difference
from memaudit.comparison.flags import Flagging, flags_difference
from memaudit.comparison.intervals import Interval, bootstrap, cluster_sums, settled, sign_flip_p
from memaudit.comparison.pairing import Paired, Pairs
from memaudit.comparison.records import Difference, ExcessDifference, Flags


@dataclass(frozen=True)
class Asked:
    """What is asked of a pair: its names, the rate of false flags, and the seed.

    `untold` names runs of which these rows cannot say that they memorize less.
    """

    base: str
    run: str
    q: float
    seed: int
    untold: tuple[str, ...] = ()


def compare_pairs(pairs: Pairs, asked: Asked) -> list[Difference]:
    """Compare over all levels together, then at each."""
    if not pairs.sides.members:
        return []
    return [_compare(paired, pairs, asked) for paired in pairs.places()]


def _compare(paired: Paired, pairs: Pairs, asked: Asked) -> Difference:
    n, place = paired.members, paired.place
    difference = settled(paired.own[1] - paired.own[0])
    moved = difference[:n]
    found = _intervals(paired, asked)
    return Difference(
        base=asked.base,
        run=asked.run,
        attack=pairs.probe.attack,
        input=pairs.probe.input,
        level=place.name,
        sigma=place.sigma,
        snr_db=place.snr_db,
        members=n,
        controls=len(difference) - n,
        draws=pairs.draws,
        own_similarity_base=float(paired.own[0, :n].mean()),
        own_similarity_run=float(paired.own[1, :n].mean()),
        own_similarity=found.members,
        sign_flip_p=sign_flip_p(cluster_sums(moved, paired.clusters[0]), seed=asked.seed),
        wins=int((moved < 0).sum()),
        ties=int((moved == 0).sum()),
        losses=int((moved > 0).sum()),
        controls_difference=found.controls,
        beyond_controls=found.beyond,
        flags=found.flags,
        excess=found.excess,
        untold=asked.untold,
    )


@dataclass(frozen=True)
class _Found:
    """Differences of own similarity of members, of controls, of one minus the other; and the rest.

    What takes controls is None without them.
    """

    members: Interval
    controls: Interval | None = None
    beyond: Interval | None = None
    flags: Flags | None = None
    excess: ExcessDifference | None = None


def _intervals(paired: Paired, asked: Asked) -> _Found:
    n, seed = paired.members, asked.seed
    difference = paired.own[1] - paired.own[0]
    units = paired.compared[0].controls.units
    flags = [Flagging.of(both, asked.q) for both in paired.compared] if units else []
    tails = [Tail.of(both, seed) for both in paired.compared] if units >= ENOUGH_CONTROLS else []

    def statistic(members: NDArray[np.float64], controls: NDArray[np.float64]) -> list[float]:
        side = float(members @ difference[:n] / members.sum())
        if not units:
            return [side]
        other = float(controls @ difference[n:] / controls.sum())
        before, after = (one.share(members, controls) for one in flags)
        excess = [tail.excess(members, controls) for tail in tails] or [0.0, 0.0]
        return [side, other, side - other, after - before, excess[1] - excess[0]]

    drawn = bootstrap(statistic, paired.clusters, seed=seed)
    if not units:
        return _Found(drawn[0])
    members, controls, beyond, flagged, excess = drawn
    return _Found(
        members,
        controls,
        beyond,
        flags_difference(flags[0], flags[1], flagged),
        excess_difference(paired, tails, excess, seed),
    )

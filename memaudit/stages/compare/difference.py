"""What differs between two runs at one noise level, or at all together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from memaudit.stages.calibrate import benjamini_hochberg, conformal_p
from memaudit.stages.compare.excess import ENOUGH_CONTROLS, Tail, excess_difference
from memaudit.stages.compare.intervals import (
    Interval,
    bootstrap,
    discordant_interval,
    settled,
    sign_flip_p,
)
from memaudit.stages.compare.pairing import Paired, Pairs
from memaudit.stages.compare.records import Difference, ExcessDifference, Flags


def compare_pairs(pairs: Pairs, names: tuple[str, str], q: float, seed: int) -> list[Difference]:
    """Compare over all levels together, then at each; `names` are those of base and run."""
    if not pairs.sides.members:
        return []
    return [_compare(paired, pairs, names, q, seed) for paired in pairs.places()]


def _compare(
    paired: Paired, pairs: Pairs, names: tuple[str, str], q: float, seed: int
) -> Difference:
    n, place = paired.members, paired.place
    difference = settled(paired.own[1] - paired.own[0])
    moved = difference[:n]
    members, controls, beyond, excess = _intervals(paired, seed)
    return Difference(
        base=names[0],
        run=names[1],
        reconstruction=pairs.reconstruction,
        level=place.name,
        sigma=place.sigma,
        snr_db=place.snr_db,
        members=n,
        controls=len(difference) - n,
        draws=pairs.draws,
        own_similarity_base=float(paired.own[0, :n].mean()),
        own_similarity_run=float(paired.own[1, :n].mean()),
        own_similarity=members,
        sign_flip_p=sign_flip_p(moved, seed=seed),
        wins=int((moved < 0).sum()),
        ties=int((moved == 0).sum()),
        losses=int((moved > 0).sum()),
        controls_difference=controls,
        beyond_controls=beyond,
        flags=_flags(paired, q) if controls else None,
        excess=excess,
    )


def _intervals(
    paired: Paired, seed: int
) -> tuple[Interval, Interval | None, Interval | None, ExcessDifference | None]:
    """Differences of members, of controls, of one minus the other, and of the excess."""
    n = paired.members
    difference = paired.own[1] - paired.own[0]
    sizes = n, len(difference) - n
    tails = (
        [Tail.of(score, n, seed) for score in paired.score] if sizes[1] >= ENOUGH_CONTROLS else []
    )

    def statistic(members: NDArray[np.float64], controls: NDArray[np.float64]) -> list[float]:
        side = float(members @ difference[:n] / n)
        other = float(controls @ difference[n:] / sizes[1]) if sizes[1] else 0.0
        excess = [tail.excess(members, controls) for tail in tails] or [0.0, 0.0]
        return [side, other, side - other, excess[1] - excess[0]]

    members, controls, beyond, excess = bootstrap(statistic, sizes, seed=seed)
    if not sizes[1]:
        return members, None, None, None
    return members, controls, beyond, excess_difference(paired, tails, excess, seed)


def _flags(paired: Paired, q: float) -> Flags:
    n = paired.members
    before, after = (
        benjamini_hochberg(conformal_p(score[:n], score[n:])) <= q for score in paired.score
    )
    newly, gone = int((after & ~before).sum()), int((before & ~after).sum())
    return Flags(
        int(before.sum()), int(after.sum()), discordant_interval(newly, gone, n), newly, gone
    )

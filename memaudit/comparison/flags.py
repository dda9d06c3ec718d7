"""Members flagged in two runs: the difference of their shares, images resampled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memaudit.comparison.intervals import Interval, changed_interval
from memaudit.comparison.records import Flags
from memaudit.statistics.conformal import benjamini_hochberg, conformal_p
from memaudit.statistics.entities import Compared

SLACK = 1e-9  # of a p-value, for sums in another order


@dataclass(frozen=True, eq=False)
class Flagging:
    """Conformal p-values and Benjamini-Hochberg under resampling.

    Flags are no independent events: all rest on the same few controls, and on each other.
    """

    flagged: NDArray[np.bool_]
    members: NDArray[np.int64]  # highest score first
    controls: NDArray[np.int64]
    reached: NDArray[np.int64]  # controls that score at least as high, for each of `members`
    weights: NDArray[np.float64]  # of the controls: those of a cluster share its weight of 1
    clusters: NDArray[np.int64]  # of the members
    q: float

    @classmethod
    def of(cls, both: Compared, q: float) -> Flagging:
        """Take the scores of both sides."""
        members, controls = both.members.values, both.controls.values
        order = np.argsort(-members, kind="stable")
        below = np.searchsorted(np.sort(controls), members[order], side="left")
        p_values = conformal_p(members, controls, both.controls.weights)
        return cls(
            flagged=benjamini_hochberg(p_values) <= q,
            members=order,
            controls=np.argsort(-controls, kind="stable"),
            reached=len(controls) - below,
            weights=both.controls.weights,
            clusters=both.members.clusters,
            q=q,
        )

    def share(self, members: NDArray[np.float64], controls: NDArray[np.float64]) -> float:
        """Share of the members flagged, all weighted by how often they were drawn."""
        higher = np.concatenate([[0.0], np.cumsum((controls * self.weights)[self.controls])])
        p_values = (1 + higher[self.reached]) / (1 + higher[-1])
        shares = np.cumsum(members[self.members]) / members.sum()
        found = np.flatnonzero(p_values <= self.q * shares + SLACK)
        return float(shares[found[-1]]) if len(found) else 0.0


def flags_difference(before: Flagging, after: Flagging, drawn: Interval) -> Flags:
    """The wider of the bootstrap and the exact interval of the members that changed sides."""
    newly = int((after.flagged & ~before.flagged).sum())
    gone = int((before.flagged & ~after.flagged).sum())
    exact = changed_interval(before.flagged, after.flagged, before.clusters)
    return Flags(
        base=int(before.flagged.sum()),
        run=int(after.flagged.sum()),
        difference=drawn.spanning(exact),
        newly=newly,
        no_longer=gone,
    )

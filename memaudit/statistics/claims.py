"""What each claim rests on: members against controls by the score of its attack."""

from __future__ import annotations

from dataclasses import dataclass

from memaudit.records import Claim, Primary
from memaudit.statistics.conduct import Calibrated
from memaudit.statistics.copies import Tests
from memaudit.statistics.counts import smallest
from memaudit.statistics.effects import Auc, auc_interval, share_above
from memaudit.statistics.options import Options
from memaudit.statistics.probes import scores_by


@dataclass(frozen=True)
class ClaimFound:
    """A claim, and what the score of its attack shows of it.

    `flagged` groups of members have a q-value of at most q, the smallest is `min_q`; `dataset_p` is
    that of the members as a whole. Both are multiplied by the number of scores that share the
    level. `auc` and `above` (the share of member groups above the controls' 99th percentile) are of
    that score alone. None without controls.
    """

    claim: Claim
    attack: str
    columns: tuple[str, ...]
    flagged: int
    min_q: float | None
    dataset_p: float | None
    auc: Auc | None
    above: float | None


def claims_found(data: Calibrated, tests: Tests, options: Options) -> tuple[ClaimFound, ...]:
    """Say what each claim rests on; `tests` are of the adjusted scores."""
    return tuple(_found(data, tests, claim) for claim in options.claims)


def _found(data: Calibrated, tests: Tests, claim: Primary) -> ClaimFound:
    groups = data.findings[data.findings["representative"]]
    p_values = [test.p_value for one, test in tests.items() if one.attack == claim.attack]
    both = data.sides.compare(scores_by(data.adjusted, claim.attack).max(axis=1))
    return ClaimFound(
        claim=claim.claim,
        attack=claim.attack,
        columns=tuple(column.name for column in claim.columns),
        flagged=int(groups[f"{claim.claim}_flagged"].sum()),
        min_q=smallest(data.findings[f"{claim.claim}_q"]),
        dataset_p=min(1.0, len(tests) * min(p_values)) if p_values else None,
        auc=auc_interval(both.members, both.controls) if p_values else None,
        above=share_above(both.members.values, both.controls.values) if p_values else None,
    )

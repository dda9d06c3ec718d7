"""What one rule of a gate says, and what the rules are about."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from memaudit.errors import RunDirectoryError
from memaudit.gate.observed import Finding, Observed, flagged_at
from memaudit.gate.policy import Policy
from memaudit.statistics.verdict import Outcome


class State(StrEnum):
    """What a rule, or the gate, says."""

    PASS = "pass"
    FAIL = "fail"
    CANNOT_TELL = "cannot tell"


EXIT_CODES = {State.PASS: 0, State.FAIL: 1, State.CANNOT_TELL: 4}


@dataclass(frozen=True)
class Rule:
    """One rule: its key in the policy, what it says, the value found, the limit, and why."""

    name: str
    state: State
    value: str
    limit: str
    reason: str


def findings_of(seen: Observed, policy: Policy) -> list[Finding]:
    """What a scan flags at the policy's level; raises RunDirectoryError for a scan.json alone."""
    if seen.findings is None:
        raise RunDirectoryError(
            "a scan.json alone says nothing of single images; give the whole run directory (a "
            "--baseline may be a scan.json)"
        )
    if seen.record.verdict.outcome is not Outcome.EVIDENCE:
        return []  # what it flags claims nothing
    return flagged_at(seen.findings, policy.level / 2)


@dataclass(frozen=True, eq=False)
class Facts:
    """A scan, a policy, and the findings that count; `spared`: some were suppressed."""

    seen: Observed
    policy: Policy
    findings: tuple[Finding, ...]
    spared: bool

    @property
    def conclusive(self) -> bool:
        """Whether the scan says anything."""
        return self.seen.record.verdict.outcome is not Outcome.INCONCLUSIVE

    @property
    def dataset_p(self) -> float:
        """The larger p of the score and of the raw score, which must agree."""
        level = self.seen.record.summary.dataset
        return 1.0 if level is None else max(level.test.p_value, level.raw.p_value)


def needed(name: str, there: bool, found: tuple[str, str], why: str) -> Rule:
    """A rule that cannot tell where what it needs is not there; what was found, and the limit."""
    return Rule(name, State.PASS if there else State.CANNOT_TELL, *found, why)


def at_most(name: str, value: int, most: int, what: str) -> Rule:
    """A rule that fails above a number."""
    state = State.FAIL if value > most else State.PASS
    return Rule(name, state, str(value), f"at most {most}", f"{value} {what}")

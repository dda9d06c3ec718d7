"""Does a finished scan keep to a policy? Each rule passes, fails, or cannot tell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from memaudit.errors import RunDirectoryError
from memaudit.gate.observed import Finding, Observed, flagged_at
from memaudit.gate.policy import Policy, Suppression
from memaudit.statistics.verdict import Outcome, small


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


@dataclass(frozen=True)
class Suppressed:
    """A suppression, whether a finding has it, and whether it still counts."""

    suppression: Suppression
    used: bool
    expired: bool


@dataclass(frozen=True)
class Gated:
    """What the gate says of a run; `findings` are those that count, strongest first."""

    run: str
    verdict: str
    rules: tuple[Rule, ...]
    findings: tuple[Finding, ...]
    suppressed: tuple[Finding, ...]
    suppressions: tuple[Suppressed, ...]

    @property
    def state(self) -> State:
        """Fail if any rule fails; else what any rule cannot tell; else pass."""
        states = {rule.state for rule in self.rules}
        return next((s for s in (State.FAIL, State.CANNOT_TELL) if s in states), State.PASS)

    @property
    def exit_code(self) -> int:
        """Zero to pass, 1 to fail, 4 if it cannot tell."""
        return EXIT_CODES[self.state]


def gate(run: str, seen: Observed, policy: Policy, today: date, base: Observed | None) -> Gated:
    """Hold a scan against a policy, and against an earlier scan.

    Raises RunDirectoryError if the policy needs the findings of a run, or a baseline, that are not
    there, or if the baseline is of other images.
    """
    flagged = _flagged(seen, policy)
    there = {one.fingerprint for one in flagged}
    expired = {one.fingerprint for one in policy.suppress if one.expires <= today}
    named = {one.fingerprint for one in policy.suppress} - expired
    counting = tuple(one for one in flagged if one.fingerprint not in named)
    facts = _Facts(seen, policy, counting, bool(named & there))
    return Gated(
        run=run,
        verdict=seen.record.verdict.sentence,
        rules=(*_rules(facts), *_against(base, facts)),
        findings=counting,
        suppressed=tuple(one for one in flagged if one.fingerprint in named),
        suppressions=tuple(
            Suppressed(
                one,
                used=one.fingerprint in there,
                expired=one.fingerprint in expired,
            )
            for one in policy.suppress
        ),
    )


@dataclass(frozen=True, eq=False)
class _Facts:
    """A scan, a policy, and the findings that count; `spared`: some were suppressed."""

    seen: Observed
    policy: Policy
    findings: tuple[Finding, ...]
    spared: bool

    @property
    def conclusive(self) -> bool:
        return self.seen.record.verdict.outcome is not Outcome.INCONCLUSIVE

    @property
    def dataset_p(self) -> float:
        """The larger p of the score and of the raw score, which must agree."""
        level = self.seen.record.summary.dataset
        return 1.0 if level is None else max(level.test.p_value, level.raw.p_value)


def _flagged(seen: Observed, policy: Policy) -> list[Finding]:
    if seen.findings is None:
        raise RunDirectoryError(
            "a scan.json alone says nothing of single images; give the whole run directory (a "
            "--baseline may be a scan.json)"
        )
    if seen.record.verdict.outcome is not Outcome.EVIDENCE:
        return []  # what it flags claims nothing
    return flagged_at(seen.findings, policy.level / 2)


def _rules(facts: _Facts) -> Iterator[Rule]:
    yield _verdict(facts)
    yield from _findings(facts)
    yield from _excess(facts)
    yield from _enough(facts)


def _verdict(facts: _Facts) -> Rule:
    """Evidence at the policy's level, by images that count or by the data set as a whole."""
    policy, half = facts.policy, facts.policy.level / 2
    limit = f"no evidence at level {policy.level:g}"
    if not facts.conclusive:
        state = State(policy.inconclusive)
        return Rule(
            "inconclusive", state, "inconclusive", limit, facts.seen.record.verdict.reasons[0]
        )
    found = facts.seen.record.verdict.outcome is Outcome.EVIDENCE
    images, whole = len(facts.findings), facts.dataset_p <= half and not facts.spared
    value = f"{images} images with q <= {half:g}, data-set p {small(facts.dataset_p)}"
    if not (found and (images or whole)):
        spared = "; suppressed findings do not count" if facts.spared else ""
        return Rule("evidence", State.PASS, value, limit, f"nothing that counts{spared}")
    state = State.FAIL if policy.evidence == "fail" else State.PASS
    return Rule("evidence", state, value, limit, facts.seen.record.verdict.sentence)


def _findings(facts: _Facts) -> Iterator[Rule]:
    policy, copies = facts.policy, [one for one in facts.findings if one.claim == "reproduction"]
    if policy.most_flagged is not None:
        yield _at_most("most_flagged", len(facts.findings), policy.most_flagged, "images stand out")
    if policy.most_reproductions is not None:
        yield _at_most(
            "most_reproductions",
            len(copies),
            policy.most_reproductions,
            "images come back as copies",
        )
    if policy.severity_floor_db is not None:
        floor = policy.severity_floor_db
        lowest = min((one.snr_db for one in copies if one.snr_db is not None), default=None)
        state = State.FAIL if lowest is not None and lowest <= floor else State.PASS
        value = "no copy" if lowest is None else f"{lowest:.1f} dB"
        yield Rule(
            "severity_floor_db",
            state,
            value,
            f"above {floor:g} dB",
            "the strongest noise a copy comes back from",
        )


def _excess(facts: _Facts) -> Iterator[Rule]:
    policy, level = facts.policy, facts.seen.record.summary.dataset
    if policy.most_excess is None:
        return
    name, limit = "most_excess", f"at most {policy.most_excess:.1%}"
    said = f"the {policy.excess_end} end of the excess above controls"
    if level is None or level.excess is None or not facts.conclusive:
        yield Rule(name, State.CANNOT_TELL, "unknown", limit, f"{said} is not known of this scan")
        return
    value = float(getattr(level.excess, policy.excess_end))
    state = State.FAIL if value > policy.most_excess else State.PASS
    yield Rule(name, state, f"{value:.1%}", limit, said)


def _enough(facts: _Facts) -> Iterator[Rule]:
    """Could the scan have seen what the policy is about?"""
    policy, counts = facts.policy, facts.seen.record.summary.counts
    for name, value, fewest, what in (
        ("fewest_members", counts.member_units, policy.fewest_members, "members calibrate"),
        ("fewest_controls", counts.control_units, policy.fewest_controls, "controls calibrate"),
    ):
        if fewest is not None:
            said = f"{value} {what}"
            yield _needed(name, value >= fewest, (str(value), f"at least {fewest}"), said)
    yield from _power(facts)
    yield from _lost(facts)
    if policy.adaptive == "cannot tell":
        effort = facts.seen.record.summary.conduct.effort
        adaptive = effort is not None and bool(effort.screen)
        found = "adaptive" if adaptive else "in full"
        yield _needed("adaptive", not adaptive, (found, "in full"), "how scanned")


def _power(facts: _Facts) -> Iterator[Rule]:
    """What a perfect memorizer shows, and how few memorized images are found."""
    policy, conduct = facts.policy, facts.seen.record.summary.conduct
    if policy.least_power is not None:
        power = None if conduct.power is None else conduct.power.share
        yield _needed(
            "least_power",
            power is not None and power >= policy.least_power,
            (
                "not measured" if power is None else f"{power:.0%}",
                f"at least {policy.least_power:.0%}",
            ),
            "share of a perfect memorizer's images that the scan finds",
        )
    if policy.most_detectable is not None:
        count = None if conduct.detectable is None else conduct.detectable.count
        yield _needed(
            "most_detectable",
            count is not None and count <= policy.most_detectable,
            ("unknown" if count is None else str(count), f"at most {policy.most_detectable}"),
            "fewest memorized images that the scan finds",
        )


def _lost(facts: _Facts) -> Iterator[Rule]:
    most, counts = facts.policy.most_unreadable, facts.seen.record.summary.counts
    if most is not None:
        entries = counts.members + counts.controls + counts.unreadable
        share = counts.unreadable / entries if entries else 1.0
        said = f"{counts.unreadable} of {entries} images could not be read"
        found = f"{share:.1%}", f"at most {most:.1%}"
        yield _needed("most_unreadable", share <= most, found, said)


def _against(base: Observed | None, facts: _Facts) -> Iterator[Rule]:
    most = facts.policy.most_new
    if most is None:
        return
    if base is None:
        raise RunDirectoryError(
            "the policy limits new findings (most_new) and no --baseline is given; give an earlier "
            "run directory, or its scan.json"
        )
    if base.record.verdict.outcome is Outcome.INCONCLUSIVE:
        yield Rule(
            "most_new",
            State.CANNOT_TELL,
            "unknown",
            f"at most {most}",
            "the baseline is inconclusive",
        )
        return
    new, how = _new(base, facts)
    yield _at_most(
        "most_new", new, most, f"images stand out that the baseline does not flag ({how})"
    )


def _new(base: Observed, facts: _Facts) -> tuple[int, str]:
    """How many findings are new, by image where both have findings, else by their number."""
    if base.findings is None:
        earlier = base.record.summary.flagged.groups
        return max(0, len(facts.findings) - earlier), "by their number alone"
    assert facts.seen.findings is not None
    shared = set(base.findings["example_id"]) & set(facts.seen.findings["example_id"])
    if not shared:
        raise RunDirectoryError(
            "the baseline shares no image with this run; give a baseline of the same data set"
        )
    before = {one.example_id for one in _flagged(base, facts.policy)}
    new = [one for one in facts.findings if one.example_id in shared - before]
    return len(new), f"of {len(shared)} images in both"


def _needed(name: str, there: bool, found: tuple[str, str], why: str) -> Rule:
    """A rule that cannot tell where what it needs is not there; what was found, and the limit."""
    return Rule(name, State.PASS if there else State.CANNOT_TELL, *found, why)


def _at_most(name: str, value: int, most: int, what: str) -> Rule:
    state = State.FAIL if value > most else State.PASS
    return Rule(name, state, str(value), f"at most {most}", f"{value} {what}")

"""Does a finished scan keep to a policy? Each rule passes, fails, or cannot tell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from memaudit.gate.baseline import against
from memaudit.gate.observed import Finding, Observed
from memaudit.gate.policy import Policy, Suppression
from memaudit.gate.rule import EXIT_CODES, Facts, Rule, State, at_most, findings_of, needed
from memaudit.report.figure import levels_of
from memaudit.statistics.facts import small
from memaudit.statistics.verdict import Outcome


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
    flagged = findings_of(seen, policy)
    there = {one.fingerprint for one in flagged}
    expired = {one.fingerprint for one in policy.suppress if one.expires <= today}
    named = {one.fingerprint for one in policy.suppress} - expired
    counting = tuple(one for one in flagged if one.fingerprint not in named)
    facts = Facts(seen, policy, counting, bool(named & there))
    return Gated(
        run=run,
        verdict=seen.record.verdict.sentence,
        rules=(*_rules(facts), *against(base, facts)),
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


def _rules(facts: Facts) -> Iterator[Rule]:
    yield _verdict(facts)
    yield from _findings(facts)
    yield from _excess(facts)
    yield from _enough(facts)


def _verdict(facts: Facts) -> Rule:
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


def _findings(facts: Facts) -> Iterator[Rule]:
    policy, copies = facts.policy, [one for one in facts.findings if one.claim == "reproduction"]
    if policy.most_flagged is not None:
        yield at_most("most_flagged", len(facts.findings), policy.most_flagged, "images stand out")
    if policy.most_reproductions is not None:
        yield at_most(
            "most_reproductions",
            len(copies),
            policy.most_reproductions,
            "images come back as copies",
        )
    if policy.severity_floor_db is not None:
        floor = policy.severity_floor_db
        lowest = min((one.snr_db for one in copies if one.snr_db is not None), default=None)
        asked = [one.snr_db for one in levels_of(facts.seen.record)]
        state = State.PASS if min(asked, default=floor) <= floor else State.CANNOT_TELL
        if lowest is not None and lowest <= floor:
            state = State.FAIL
        value = "no copy" if lowest is None else f"{lowest:.1f} dB"
        yield Rule(
            "severity_floor_db",
            state,
            value,
            f"above {floor:g} dB",
            "the least of an image from which a copy comes back",
        )


def _excess(facts: Facts) -> Iterator[Rule]:
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


def _enough(facts: Facts) -> Iterator[Rule]:
    """Could the scan have seen what the policy is about?"""
    policy, counts = facts.policy, facts.seen.record.summary.counts
    for name, value, fewest, what in (
        ("fewest_members", counts.member_units, policy.fewest_members, "members calibrate"),
        ("fewest_controls", counts.control_units, policy.fewest_controls, "controls calibrate"),
    ):
        if fewest is not None:
            said = f"{value} {what}"
            yield needed(name, value >= fewest, (str(value), f"at least {fewest}"), said)
    yield from _power(facts)
    yield from _lost(facts)
    if policy.adaptive == "cannot tell":
        adaptive = facts.seen.record.summary.conduct.adaptive
        found = "adaptive" if adaptive else "in full"
        yield needed("adaptive", not adaptive, (found, "in full"), "how scanned")


def _power(facts: Facts) -> Iterator[Rule]:
    """What a perfect memorizer shows, and how few memorized images are found."""
    policy, conduct = facts.policy, facts.seen.record.summary.conduct
    if policy.least_power is not None:
        power = None if conduct.power is None else conduct.power.share
        yield needed(
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
        yield needed(
            "most_detectable",
            count is not None and count <= policy.most_detectable,
            ("unknown" if count is None else str(count), f"at most {policy.most_detectable}"),
            "fewest memorized images that the scan finds",
        )


def _lost(facts: Facts) -> Iterator[Rule]:
    most, counts = facts.policy.most_unreadable, facts.seen.record.summary.counts
    if most is not None:
        entries = counts.members + counts.controls + counts.unreadable
        share = counts.unreadable / entries if entries else 1.0
        said = f"{counts.unreadable} of {entries} images could not be read"
        found = f"{share:.1%}", f"at most {most:.1%}"
        yield needed("most_unreadable", share <= most, found, said)

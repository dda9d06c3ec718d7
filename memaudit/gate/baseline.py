"""Rules that hold a scan against an earlier one."""

from __future__ import annotations

from collections.abc import Iterator

from memaudit.errors import RunDirectoryError
from memaudit.gate.observed import Observed
from memaudit.gate.rule import Facts, Rule, State, at_most, findings_of
from memaudit.statistics.verdict import Outcome


def against(base: Observed | None, facts: Facts) -> Iterator[Rule]:
    """New findings, and the increase of the excess, where the policy limits them."""
    yield from _new_findings(base, facts)
    yield from _increase(base, facts)


def _new_findings(base: Observed | None, facts: Facts) -> Iterator[Rule]:
    most = facts.policy.most_new
    if most is None:
        return
    if base is None:
        raise _no_baseline("new findings (most_new)")
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
    if base.attack != facts.seen.attack:
        how += f"; it rests on {base.attack} and this scan on {facts.seen.attack}"
    yield at_most(
        "most_new", new, most, f"images stand out that the baseline does not flag ({how})"
    )


def _increase(base: Observed | None, facts: Facts) -> Iterator[Rule]:
    """The paired increase of the excess, by the end of its interval that the policy names."""
    most, end = facts.policy.most_excess_increase, facts.policy.excess_end
    if most is None:
        return
    if base is None:
        raise _no_baseline("the increase of the excess (most_excess_increase)")
    name, limit = "most_excess_increase", f"at most {most:.1%}"
    why = _unpaired(base, facts)
    if why or base.increase is None:
        yield Rule(name, State.CANNOT_TELL, "unknown", limit, why)
        return
    value = float(getattr(base.increase, end))
    state = State.FAIL if value > most else State.PASS
    said = f"the {end} end of the increase of the excess above controls, over the images of both"
    yield Rule(name, state, f"{value:+.1%}", limit, said)


def _unpaired(base: Observed, facts: Facts) -> str:
    """Why the increase says nothing; empty if it does."""
    if not facts.conclusive:
        return "the scan is inconclusive"
    if base.record.verdict.outcome is Outcome.INCONCLUSIVE:
        return "the baseline is inconclusive"
    if base.findings is None:
        return "a scan.json alone allows counts only; give the whole run directory as --baseline"
    if any(one.record.summary.conduct.adaptive for one in (base, facts.seen)):
        return "an adaptive scan has only some images in full; scan both with --full"
    attack = facts.seen.attack
    if not base.asked_with(facts.seen, attack):
        return (
            f"this scan rests on {attack}, and the baseline, which rests on {base.attack}, did not "
            "ask by that at any level of it; scan both with the same --corruption, --reconstruct "
            "and levels, or give a --baseline that was scanned so"
        )
    return "" if base.increase else "the two share too few controls"


def _no_baseline(what: str) -> RunDirectoryError:
    return RunDirectoryError(
        f"the policy limits {what} and no --baseline is given; give an earlier run directory, or "
        "its scan.json"
    )


def _new(base: Observed, facts: Facts) -> tuple[int, str]:
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
    before = {one.example_id for one in findings_of(base, facts.policy)}
    new = [one for one in facts.findings if one.example_id in shared - before]
    return len(new), f"of {len(shared)} images in both"

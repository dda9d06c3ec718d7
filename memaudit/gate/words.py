"""What a gate says, for people: in a terminal, and as a summary in Markdown."""

from __future__ import annotations

from memaudit.gate.observed import Finding
from memaudit.gate.rule import State
from memaudit.gate.rules import Gated
from memaudit.text import markdown, shown

SHOWN = 10  # findings; all are in the files
HEADS = {
    State.PASS: "pass: the scan keeps to the policy",
    State.FAIL: "fail: the scan does not keep to the policy",
    State.CANNOT_TELL: "cannot tell: the scan does not say enough for the policy",
}


def describe(gated: Gated) -> str:
    """The state, each rule with its value, limit and reason, and the strongest findings."""
    lines = [f"Gate: {HEADS[gated.state]}", f"Scan: {gated.verdict}", ""]
    name = max(len(rule.name) for rule in gated.rules)
    for rule in gated.rules:
        lines.append(f"  {rule.state:<11}  {rule.name:<{name}}  {rule.value} ({rule.limit})")
        lines.append(f"  {'':<11}  {'':<{name}}  {rule.reason}")
    lines += [*_findings(gated), *_suppressions(gated)]
    return "\n".join(lines)


def section(gated: Gated) -> str:
    """The same as a section of Markdown, for the summary of a job."""
    rows = [
        f"| {rule.state} | `{rule.name}` | {markdown(rule.value)} | {markdown(rule.limit)} | "
        f"{markdown(rule.reason)} |"
        for rule in gated.rules
    ]
    head = ["| | Rule | Found | Limit | Reason |", "|---|---|---|---|---|"]
    listed = [markdown(line.strip()) for line in (*_findings(gated), *_suppressions(gated)) if line]
    return "\n".join(
        [
            f"### memaudit gate: {gated.state}",
            "",
            markdown(gated.verdict),
            "",
            *head,
            *rows,
            "",
            *(f"- {line}" for line in listed),
            "",
        ]
    )


def told(finding: Finding) -> str:
    """One finding in a line."""
    copy = "" if finding.snr_db is None else f", a copy from {finding.snr_db:.1f} dB"
    return f"{shown(finding.source)}: {finding.claim}, q {finding.q:.2g}{copy}"


def _findings(gated: Gated) -> list[str]:
    if not gated.findings:
        return []
    lines = ["", f"Findings that count ({len(gated.findings)}):"]
    lines += [f"  {one.fingerprint}  {told(one)}" for one in gated.findings[:SHOWN]]
    if len(gated.findings) > SHOWN:
        lines.append(f"  and {len(gated.findings) - SHOWN} more")
    return lines


def _suppressions(gated: Gated) -> list[str]:
    if not gated.suppressions:
        return []
    lines = ["", "Suppressions:"]
    for one in gated.suppressions:
        state = "expired, counts again" if one.expired else "does not count"
        state = state if one.used else "no such finding"
        said = one.suppression
        lines.append(
            f"  {shown(said.fingerprint)}  {state}; until {said.expires}, "
            f"{shown(said.approved_by)}: {shown(said.statement)}"
        )
    return lines

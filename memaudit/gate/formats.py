"""What a gate says, for machines: JSON, JUnit, SARIF, and the files of GitHub and GitLab."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any
from urllib.parse import quote

from junitparser import Error, Failure, JUnitXml, TestCase, TestSuite

import memaudit
from memaudit.gate.observed import Finding
from memaudit.gate.rule import Rule, State
from memaudit.gate.rules import Gated
from memaudit.gate.words import told
from memaudit.text import shown

MOST_RESULTS = 5000  # that code scanning shows of a SARIF file
MOST_ANNOTATIONS = 10  # of one level, that GitHub shows of a step
SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
RULES = {  # claim: what SARIF says of it
    "reproduction": "The model brings this training image back as a copy from very little of it.",
    "membership": "The model brings this training image back more closely than held-out images.",
}


def to_json(gated: Gated) -> dict[str, Any]:
    """All that the gate says, as plain values; `format` is its version."""
    content: dict[str, Any] = json.loads(json.dumps(asdict(gated), default=str))
    return {"format": 1, "state": str(gated.state), "exit_code": gated.exit_code, **content}


def to_junit(gated: Gated) -> bytes:
    """A case for each rule: a failure where it fails, an error where it cannot tell."""
    suite = TestSuite("memaudit gate")
    for rule in gated.rules:
        case = TestCase(rule.name, classname="memaudit.gate", time=0)
        if rule.state is not State.PASS:
            kind = Failure if rule.state is State.FAIL else Error
            case.result = [kind(shown(_told(rule)), str(rule.state))]
        suite.add_testcase(case)
    xml = JUnitXml("memaudit")
    xml.add_testsuite(suite)
    return bytes(xml.tostring())  # type: ignore[no-untyped-call]


def to_sarif(gated: Gated) -> dict[str, Any]:
    """SARIF 2.1.0: the strongest findings, with fingerprints; suppressed ones are marked so."""
    listed = [(one, False) for one in gated.findings] + [(one, True) for one in gated.suppressed]
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "memaudit",
                        "semanticVersion": memaudit.__version__,
                        "rules": [
                            {"id": name, "shortDescription": {"text": text}}
                            for name, text in RULES.items()
                        ],
                    }
                },
                "results": [_result(one, hidden) for one, hidden in listed[:MOST_RESULTS]],
            }
        ],
    }


def to_gitlab(gated: Gated) -> list[dict[str, Any]]:
    """Code quality of GitLab: one issue for each finding that counts."""
    return [
        {
            "description": told(one),
            "check_name": f"memaudit-{one.claim}",
            "fingerprint": one.fingerprint,
            "severity": "critical" if one.claim == "reproduction" else "major",
            "location": {"path": shown(one.source), "lines": {"begin": 1}},
        }
        for one in gated.findings[:MOST_RESULTS]
    ]


def to_annotations(gated: Gated) -> list[str]:
    """Workflow commands of GitHub: an error or a warning for each rule that does not pass."""
    marks = {State.FAIL: "error", State.CANNOT_TELL: "warning"}
    return [
        f"::{marks[rule.state]} title=memaudit gate%3A {rule.name}::{_command(_told(rule))}"
        for rule in gated.rules
        if rule.state in marks
    ][:MOST_ANNOTATIONS]


def _told(rule: Rule) -> str:
    return f"{rule.name}: found {rule.value}, expected {rule.limit}; {rule.reason}"


def _result(finding: Finding, hidden: bool) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": finding.claim,
        "level": "error" if finding.claim == "reproduction" else "warning",
        "message": {"text": told(finding)},
        "partialFingerprints": {"memaudit/v1": finding.fingerprint},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": quote(shown(finding.source))},
                    "region": {"startLine": 1},
                }
            }
        ],
    }
    if hidden:
        result["suppressions"] = [{"kind": "external", "status": "accepted"}]
    return result


def _command(text: str) -> str:
    """Text that ends no workflow command."""
    return shown(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")

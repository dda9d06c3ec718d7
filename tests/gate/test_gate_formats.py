"""What pipelines read of a gate keeps to what their schemas ask.

The rules below are those parts of junit-10.xsd (the xUnit plugin of Jenkins), of the JSON Schema of
SARIF 2.1.0 (OASIS) and of GitLab's code quality that the gate's files make use of.
"""

import re
from xml.etree import ElementTree

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from test_gate import BLIND, BOTH, HOSTILE, QUIET, found, held, image, suppress

from memaudit.gate.formats import to_gitlab, to_junit, to_sarif

HERE = {"type": "string", "minLength": 1, "pattern": r"^[^\x00-\x1f]*$"}
MARK = {"type": "string", "pattern": "^[0-9a-f]{16}$"}
LINE = {"type": "integer", "minimum": 1}


def thing(required: dict[str, object], **others: object) -> dict[str, object]:
    """A JSON object of these properties and no other."""
    return {
        "type": "object",
        "required": [*required],
        "properties": {**required, **others},
        "additionalProperties": False,
    }


def listed(items: dict[str, object]) -> dict[str, object]:
    return {"type": "array", "items": items}


TEXT = thing({"text": HERE})
PLACE = thing(
    {
        "physicalLocation": thing(
            {
                "artifactLocation": thing({"uri": {**HERE, "pattern": r"^[\w.~/%-]+$"}}),
                "region": thing({"startLine": LINE}),
            }
        )
    }
)
RESULT = thing(
    {
        "message": TEXT,
        "ruleId": {"enum": ["membership", "reproduction"]},
        "level": {"enum": ["none", "note", "warning", "error"]},
        "locations": {**listed(PLACE), "maxItems": 10},
        "partialFingerprints": {"type": "object", "additionalProperties": MARK},
    },
    suppressions=listed(
        thing(
            {
                "kind": {"enum": ["inSource", "external"]},
                "status": {"enum": ["accepted", "underReview", "rejected"]},
            }
        )
    ),
)
DRIVER = thing(
    {
        "name": HERE,
        "semanticVersion": {**HERE, "pattern": r"^\d+\.\d+\.\d+"},
        "rules": listed(thing({"id": HERE, "shortDescription": TEXT})),
    }
)
SARIF = thing(
    {
        "version": {"const": "2.1.0"},
        "runs": listed(
            thing(
                {"tool": thing({"driver": DRIVER}), "results": {**listed(RESULT), "maxItems": 5000}}
            )
        ),
        "$schema": {"type": "string", "format": "uri"},
    }
)
GITLAB = listed(
    thing(
        {
            "description": HERE,
            "check_name": HERE,
            "fingerprint": MARK,
            "severity": {"enum": ["info", "minor", "major", "critical", "blocker"]},
            "location": thing(
                {
                    "path": {**HERE, "pattern": r"^(?!\./)[^\x00-\x1f]+$"},
                    "lines": thing({"begin": LINE}),
                }
            ),
        }
    )
)
JUNIT = {  # element: attributes that it must have, attributes that it may have, its children
    "testsuites": ((), ("name",), {"testsuite"}),
    "testsuite": (("name", "tests", "failures", "errors"), ("skipped", "time"), {"testcase"}),
    "testcase": (("name", "classname"), ("time",), {"failure", "error"}),
    "failure": ((), ("type", "message"), set()),
    "error": ((), ("type", "message"), set()),
}
TIME = re.compile(r"(([0-9]{0,3},)*[0-9]{3}|[0-9]{0,3})*(\.[0-9]{0,3})?")
HOSTILE_NAMES = (HOSTILE.replace("\udc80", ""), "\x1b]0;x\x07 <&>\u202e.png", "a b%2f\\c.png")
GATED = {
    "fail": held(BOTH, most_flagged=0, fewest_members=500),
    "pass": held(QUIET),
    "cannot tell": held(BLIND, most_excess=0.5),
    "suppressed": held(BOTH, suppress=(suppress("member", "membership"),)),
    "hostile": held(found(*(image(f"{k}", source=one) for k, one in enumerate(HOSTILE_NAMES)))),
    "many": held(found(*(image(f"{k:05}") for k in range(6000)))),
}

every = pytest.mark.parametrize("name", GATED)


@every
def test_junit_has_the_elements_and_attributes_that_servers_know(name):
    root = ElementTree.fromstring(to_junit(GATED[name]))
    assert root.tag == "testsuites"
    for one in root.iter():
        must, may, children = JUNIT[one.tag]
        assert {*must} <= one.attrib.keys() <= {*must, *may}
        assert {child.tag for child in one} <= children
        assert TIME.fullmatch(one.get("time", "0"))
    [suite] = root
    for kind in ("failure", "error"):
        assert int(suite.attrib[f"{kind}s"]) == len(suite.findall(f"testcase/{kind}"))
    assert int(suite.attrib["tests"]) == len(suite) == len(GATED[name].rules)


@every
def test_sarif_and_code_quality_are_as_their_schemas_ask(name):
    checker = FormatChecker()
    Draft202012Validator(SARIF, format_checker=checker).validate(to_sarif(GATED[name]))
    Draft202012Validator(GITLAB, format_checker=checker).validate(to_gitlab(GATED[name]))


@every
def test_fingerprints_are_of_one_finding_each(name):
    marks = [one["fingerprint"] for one in to_gitlab(GATED[name])]
    assert len(marks) == len(set(marks))

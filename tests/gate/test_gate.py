"""What a gate says of finished scans whose findings are known."""

import json
import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import pandas as pd
import pytest
from recorded import evidence, inconclusive, none

from memaudit.comparison.intervals import Interval
from memaudit.errors import ConfigError, RunDirectoryError
from memaudit.gate.formats import to_annotations, to_gitlab, to_json, to_junit, to_sarif
from memaudit.gate.observed import Observed, fingerprint
from memaudit.gate.policy import Policy, Suppression, example, read_policy
from memaudit.gate.rule import State
from memaudit.gate.rules import gate
from memaudit.gate.words import describe, section
from memaudit.records import FULL
from memaudit.statistics.effort import Effort

TODAY = date(2026, 6, 1)
FAR = date(2027, 1, 1)


def image(example_id, q=0.01, claim="membership", snr=float("nan"), **changes):
    row = {
        "example_id": example_id,
        "split": "member",
        "source": f"{example_id}.png",
        "representative": True,
        "q_value": q,
        "q_raw": q,
        "score": 1.0,
        "claim": claim,
        "recovered_from_snr_db": snr,
    }
    return {**row, **changes}


def findings(*rows):
    return pd.DataFrame([image("control", split="control"), *rows])


def found(*rows, p=0.5):
    """A scan that is evidence, by these images and a data set of this p."""
    record = evidence()
    level = record.summary.dataset
    tests = {name: replace(level.test, p_value=p) for name in ("test", "raw")}
    summary = replace(record.summary, dataset=replace(level, **tests))
    return Observed(replace(record, summary=summary), findings(*rows))


COPY, MEMBER = image("copy", claim="reproduction", snr=-3.0), image("member", q=0.02)
BOTH = found(COPY, MEMBER)
QUIET = Observed(none(), findings(image("quiet", q=0.9)))
BLIND = Observed(inconclusive(), findings(image("blind", q=0.9)))


def held(seen, base=None, **rules):
    return gate("run", seen, Policy(**rules), TODAY, base)


def of(gated, name):
    return next(rule for rule in gated.rules if rule.name == name)


@pytest.mark.parametrize(
    ("seen", "state", "code"),
    [(BOTH, State.FAIL, 1), (QUIET, State.PASS, 0), (BLIND, State.CANNOT_TELL, 4)],
)
def test_without_a_policy_evidence_fails_and_an_inconclusive_scan_cannot_tell(seen, state, code):
    gated = held(seen)
    assert (gated.state, gated.exit_code) == (state, code)
    assert seen.record.verdict.reasons[0] in gated.rules[0].reason or state is not State.CANNOT_TELL


@pytest.mark.parametrize(("says", "code"), [("pass", 0), ("fail", 1), ("cannot tell", 4)])
def test_a_policy_says_what_an_inconclusive_scan_is(says, code):
    assert held(BLIND, inconclusive=says).exit_code == code


def test_images_count_at_half_of_the_level_by_both_scores_and_once_a_group():
    rows = (
        COPY,
        image("by the score alone", q=0.01, q_raw=0.04),
        image("at the rate of flags only", q=0.04),
        image("a copy of one", representative=False),
    )
    assert [one.example_id for one in held(found(*rows)).findings] == ["copy"]
    assert held(found(*rows), level=0.01).findings == ()


def test_a_stricter_level_takes_the_data_set_too():
    assert held(found(p=0.02)).state is State.FAIL
    assert held(found(p=0.02), level=0.02).state is State.PASS


def test_limits_count_what_stands_out_and_what_comes_back_as_a_copy():
    assert of(held(BOTH, most_flagged=2), "most_flagged").state is State.PASS
    assert of(held(BOTH, most_flagged=1), "most_flagged").state is State.FAIL
    assert of(held(BOTH, most_reproductions=1), "most_reproductions").state is State.PASS
    assert of(held(BOTH, most_reproductions=0), "most_reproductions").state is State.FAIL
    assert held(BOTH, evidence="allow", most_flagged=2, most_reproductions=1).exit_code == 0


def test_the_severity_floor_is_about_the_strongest_noise_a_copy_comes_back_from():
    assert of(held(BOTH, severity_floor_db=-3.0), "severity_floor_db").state is State.FAIL
    assert of(held(BOTH, severity_floor_db=-3.5), "severity_floor_db").state is State.PASS
    assert of(held(QUIET, severity_floor_db=9.0), "severity_floor_db").value == "no copy"


def test_a_floor_below_the_strongest_noise_that_was_tried_cannot_be_told():
    tried = min(one.snr_db for one in QUIET.record.summary.levels if one.phase == FULL)
    at, below = (
        of(held(QUIET, severity_floor_db=floor), "severity_floor_db")
        for floor in (tried, tried - 1)
    )
    assert (at.state, below.state) == (State.PASS, State.CANNOT_TELL)


@pytest.mark.parametrize(("end", "limit"), [("low", -0.14), ("estimate", 0.0), ("high", 0.09)])
def test_the_excess_is_held_by_the_end_that_is_named(end, limit):
    below = max(0.0, limit - 0.001)
    state = State.FAIL if limit > below else State.PASS
    assert of(held(QUIET, most_excess=below, excess_end=end), "most_excess").state is state
    assert of(held(BLIND, most_excess=0.5), "most_excess").state is State.CANNOT_TELL


@pytest.mark.parametrize(
    "rule",
    [
        {"fewest_members": 61},
        {"fewest_controls": 65},
        {"least_power": 0.91},
        {"most_detectable": 3},
    ],
)
def test_too_little_to_see_with_cannot_be_told(rule):
    [name] = rule
    assert of(held(QUIET, **rule), name).state is State.CANNOT_TELL
    less = (
        {name: rule[name] + (1 if name == "most_detectable" else -1)}
        if name != "least_power"
        else {name: 0.9}
    )
    assert of(held(QUIET, **less), name).state is State.PASS


def test_unreadable_images_and_adaptive_scans_are_a_matter_of_the_policy():
    assert of(held(BLIND, most_unreadable=0.0), "most_unreadable").state is State.CANNOT_TELL
    assert of(held(QUIET, most_unreadable=0.0), "most_unreadable").state is State.PASS
    assert of(held(BOTH, adaptive="cannot tell"), "adaptive").state is State.CANNOT_TELL
    assert of(held(QUIET, adaptive="cannot tell"), "adaptive").state is State.PASS


def suppress(one, claim, expires=FAR):
    return Suppression(
        fingerprint=fingerprint(one, claim), statement="looked at", expires=expires, approved_by="A"
    )


def test_a_suppressed_finding_stays_visible_and_counts_again_once_it_expires():
    both = (suppress("copy", "reproduction"), suppress("member", "membership"))
    gated = held(BOTH, suppress=both, most_flagged=0)
    assert (gated.state, gated.findings) == (State.PASS, ())
    assert [one.example_id for one in gated.suppressed] == ["copy", "member"]
    late = held(BOTH, suppress=(suppress("copy", "reproduction", TODAY), both[1]), most_flagged=0)
    assert late.state is State.FAIL
    assert [one.example_id for one in late.findings] == ["copy"]
    assert "expired, counts again; until 2026-06-01, A: looked at" in describe(late)


def test_a_suppression_is_of_one_claim_and_one_that_fits_nothing_is_named():
    gated = held(BOTH, suppress=(suppress("copy", "membership"),))
    assert len(gated.findings) == 2
    assert "no such finding" in describe(gated)


def test_new_findings_are_counted_by_image_and_by_number_where_there_are_no_images():
    before = found(COPY, image("member", q=0.9))
    assert of(held(BOTH, before, most_new=0), "most_new").value == "1"
    assert of(held(BOTH, BOTH, most_new=0), "most_new").state is State.PASS
    alone = Observed(BOTH.record, None)  # its record tells of seven
    assert of(held(BOTH, alone, most_new=0), "most_new").value == "0"
    assert of(held(BOTH, BLIND, most_new=0), "most_new").state is State.CANNOT_TELL


@pytest.mark.parametrize(
    ("end", "most", "state"),
    [
        ("low", 0.01, State.FAIL),
        ("low", 0.02, State.PASS),
        ("estimate", 0.1, State.FAIL),
        ("high", 0.3, State.PASS),
    ],
)
def test_the_increase_of_the_excess_is_held_by_the_end_that_is_named(end, most, state):
    before = replace(QUIET, increase=Interval(0.2, 0.02, 0.3))
    seen = in_full(BOTH)
    rule = of(held(seen, before, most_excess_increase=most, excess_end=end), "most_excess_increase")
    assert rule.state is state


def in_full(seen):
    """The same, scanned in full."""
    conduct = replace(seen.record.summary.conduct, effort=Effort(10, 10))
    summary = replace(seen.record.summary, conduct=conduct)
    return replace(seen, record=replace(seen.record, summary=summary))


def test_an_increase_that_cannot_be_paired_cannot_be_told():
    alone = Observed(QUIET.record, None)
    for seen, base, why in (
        (BOTH, alone, "a scan.json alone allows counts only"),
        (BOTH, BLIND, "the baseline is inconclusive"),
        (BLIND, QUIET, "the scan is inconclusive"),
        (in_full(BOTH), QUIET, "share too few controls"),
        (BOTH, QUIET, "an adaptive scan has only some images in full; scan both with --full"),
    ):
        rule = of(held(seen, base, most_excess_increase=0.1), "most_excess_increase")
        assert rule.state is State.CANNOT_TELL
        assert why in rule.reason
    with pytest.raises(RunDirectoryError, match=r"most_excess_increase\) and no --baseline"):
        held(BOTH, most_excess_increase=0.1)


HALVES = "restoration-mask-half"


def by_halves(seen):
    """The same, resting on what a mask hides, with noise beside it."""
    summary = seen.record.summary
    halves = replace(summary.levels[0], attack=HALVES)
    summary = replace(summary, attack=HALVES, levels=(halves, *summary.levels))
    return replace(seen, record=replace(seen.record, summary=summary))


def test_a_baseline_by_another_attack_is_named():
    seen, name = by_halves(in_full(BOTH)), "most_excess_increase"
    rule = of(held(seen, QUIET, most_excess_increase=0.1), name)
    assert rule.state is State.CANNOT_TELL
    assert rule.reason.startswith(
        f"this scan rests on {HALVES}, and the baseline, which rests on reconstruction-ode, did "
        "not ask by that at any level"
    )
    assert "scan both with the same --corruption" in rule.reason
    rule = of(held(seen, BOTH, most_new=0), "most_new")
    assert rule.reason.endswith(
        f"(of 3 images in both; it rests on reconstruction-ode and this scan on {HALVES})"
    )
    beside = replace(by_halves(QUIET), increase=Interval(0.0, -0.1, 0.1))  # halves come first
    rule = of(held(in_full(BOTH), beside, most_excess_increase=0.1), name)
    assert rule.state is State.PASS


def test_a_baseline_of_other_images_or_none_is_refused():
    other = Observed(BOTH.record, findings(image("else")).iloc[1:])
    with pytest.raises(RunDirectoryError, match="shares no image with this run"):
        held(BOTH, other, most_new=0)
    with pytest.raises(RunDirectoryError, match="no --baseline is given"):
        held(BOTH, most_new=0)


def test_junit_has_a_case_for_each_rule():
    from junitparser import Error, Failure, JUnitXml

    gated = held(BOTH, most_flagged=0, fewest_members=500)
    [suite] = JUnitXml.fromstring(to_junit(gated))
    results = {case.name: [type(one) for one in case.result] for case in suite}
    assert results == {"evidence": [Failure], "most_flagged": [Failure], "fewest_members": [Error]}


HOSTILE = '<script>alert(1)</script>|`$(x)`\x1b[2J\n::error::x %0A "]]>\udc80'


def test_hostile_names_end_no_file_and_no_workflow_command():
    gated = held(found(image("a", source=HOSTILE.replace("\udc80", ""))), most_flagged=0)
    gated = replace(gated, rules=tuple(replace(one, reason=HOSTILE) for one in gated.rules))
    to_junit(gated).decode("utf-8")
    for written in (to_sarif(gated), to_gitlab(gated)):
        text = json.dumps(written, ensure_ascii=False)
        assert not {"\x1b", "\n", "\udc80"} & set(text)
        text.encode("utf-8")
    assert all("\n" not in line and line.count("::error") <= 2 for line in to_annotations(gated))
    assert "<script" not in section(gated)


def test_sarif_has_fingerprints_places_and_marks_what_is_suppressed():
    gated = held(BOTH, suppress=(suppress("member", "membership"),))
    [run] = to_sarif(gated)["runs"]
    first, second = run["results"]
    assert first["ruleId"] == "reproduction"
    assert first["partialFingerprints"] == {"memaudit/v1": fingerprint("copy", "reproduction")}
    assert first["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "copy.png"
    assert "suppressions" not in first
    assert second["suppressions"] == [{"kind": "external", "status": "accepted"}]
    assert {rule["id"] for rule in run["tool"]["driver"]["rules"]} == {"reproduction", "membership"}


def test_sarif_keeps_to_what_code_scanning_shows():
    many = found(*(image(f"{k:05}") for k in range(6000)))
    content = to_sarif(held(many))
    assert len(content["runs"][0]["results"]) == 5000
    assert len(json.dumps(content, indent=1)) < 10_000_000


def test_json_holds_all_and_its_state():
    content = to_json(held(BOTH, most_flagged=0))
    assert (content["state"], content["exit_code"]) == ("fail", 1)
    assert [rule["name"] for rule in content["rules"]] == ["evidence", "most_flagged"]
    assert [one["source"] for one in content["findings"]] == ["copy.png", "member.png"]


def test_the_example_is_the_default_policy_and_names_every_key(tmp_path):
    path = tmp_path / "memaudit.toml"
    path.write_text(example(), encoding="utf-8")
    assert read_policy(path) == Policy()
    assert all(f"{name} =" in example() or f"gate.{name}" in example() for name in vars(Policy()))
    path.write_text(
        "".join(
            line.removeprefix("# ")
            for line in example().splitlines(keepends=True)
            if "=" in line or "[" in line
        ),
        encoding="utf-8",
    )
    policy = read_policy(path)
    assert policy.most_excess == 0.02
    assert policy.suppress[0].expires == FAR


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[gate]\nmost_flaged = 1", "unknown key most_flaged; known are level"),
        ("[gate]\nlevel = 0.2", "gives level = 0.2"),
        ("[gate]\nmost_flagged = -1", "gives most_flagged = -1"),
        ("[gate]\nmost_flagged = '1'", "gives most_flagged"),
        ("[gate]\nevidence = 'warn'", "gives evidence"),
        ("[gate]\nseverity_floor_db = nan", "gives severity_floor_db"),
        ("[[gate.suppress]]\nfingerprint = 'a'", "gives suppress.0"),
        ("most_flagged = 1", "has no table \\[gate\\], found most_flagged"),
        ("gate = [", "is no TOML file"),
    ],
)
def test_a_policy_that_is_wrong_is_refused_and_says_where(text, said, tmp_path):
    path = tmp_path / "policy.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=said):
        read_policy(path)


def test_words_say_the_state_each_rule_and_the_strongest_findings():
    text = describe(held(BOTH, most_flagged=0))
    assert text.startswith("Gate: fail")
    assert (
        f"{fingerprint('copy', 'reproduction')}  copy.png: reproduction, q 0.01, a copy from"
        in text
    )
    assert describe(held(QUIET)).startswith("Gate: pass")


def test_the_document_lists_every_key_of_a_policy():
    root = Path(__file__).parents[2]
    text = (root / "docs/ci.md").read_text(encoding="utf-8")
    table = text[text.index("| Key of") : text.index("Images are counted at half")]
    assert set(re.findall(r"`([a-z_]+)`", table)) - {"gate"} == set(Policy.__dataclass_fields__)

"""A gate on finished scans: exit codes, and what is written."""

import json
import os

import pytest


@pytest.fixture
def evidence(scan, members, controls, tmp_path):
    """A scan of the perfect memorizer."""
    assert scan(members, "--controls", controls, "--out", tmp_path / "evidence").code == 0
    return tmp_path / "evidence"


def test_evidence_fails_with_1_and_every_file_is_written_first(
    memaudit_command, evidence, tmp_path, monkeypatch
):
    files = {name: tmp_path / f"{name}.out" for name in ("junit", "sarif", "gitlab")}
    summary = tmp_path / "summary.md"
    monkeypatch.setitem(os.environ, "GITHUB_ACTIONS", "true")
    monkeypatch.setitem(os.environ, "GITHUB_STEP_SUMMARY", str(summary))
    words = [word for name, path in files.items() for word in (f"--{name}", path)]
    run = memaudit_command("gate", evidence, *words)
    assert run.code == 1
    assert run.out.startswith("Gate: fail")
    assert "::error title=memaudit gate%3A evidence::" in run.err
    assert "<testcase" in files["junit"].read_text(encoding="utf-8")
    [sarif] = json.loads(files["sarif"].read_text(encoding="utf-8"))["runs"]
    assert (
        len(sarif["results"]) == len(json.loads(files["gitlab"].read_text(encoding="utf-8"))) == 6
    )
    assert "memaudit gate: fail" in summary.read_text(encoding="utf-8")


def test_a_policy_and_a_baseline_decide_what_passes(memaudit_command, evidence, tmp_path):
    policy = tmp_path / "memaudit.toml"
    assert memaudit_command("gate", "--init", policy).code == 0
    assert memaudit_command("gate", "--init", policy).code == 2  # never overwritten
    assert memaudit_command("gate", evidence, "--policy", policy).code == 1
    policy.write_text('[gate]\nevidence = "allow"\nmost_new = 0\n', encoding="utf-8")
    run = memaudit_command("gate", evidence, "--policy", policy, "--baseline", evidence, "--json")
    assert (run.code, json.loads(run.out)["state"]) == (0, "pass")
    alone = evidence / "scan.json"
    assert memaudit_command("gate", evidence, "--policy", policy, "--baseline", alone).code == 0
    assert memaudit_command("gate", evidence, "--policy", policy).code == 2


def test_an_inconclusive_scan_cannot_tell_with_4(memaudit_command, scan, members, tmp_path):
    assert scan(members, "--out", tmp_path / "alone").code == 4
    run = memaudit_command("gate", tmp_path / "alone")
    assert run.code == 4
    assert run.out.startswith("Gate: cannot tell")


def test_what_is_no_finished_run_is_refused_with_2(memaudit_command, evidence, tmp_path):
    assert memaudit_command("gate", tmp_path / "nowhere").code == 2
    (evidence / "scan.json").unlink()
    run = memaudit_command("gate", evidence)
    assert run.code == 2
    assert "not finished" in run.err

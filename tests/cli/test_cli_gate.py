"""A gate on finished scans: exit codes, and what is written."""

import json
import os
import shutil

import pytest
from PIL import Image as PillowImage

from memaudit.audit import scan as run_scan
from memaudit.config import ScanConfig

NOISED = {"levels": 2, "draws": 1, "steps": 2}
HALVED = {
    "corruption": ("mask-half",),
    "hidden_draws": 1,
    "restoration_steps": 6,
}


def scanned(root, images, how=NOISED):
    """A scan of the perfect memorizer of six images; the others are controls."""
    folders = {"members": images[:6], "controls": images[6:]}
    for name, some in folders.items():
        (root / name).mkdir()
        for k, image in enumerate(some):
            PillowImage.fromarray(image).save(root / name / f"{k:03d}.png")
    members, controls = (str(root / name) for name in folders)
    config = ScanConfig(
        model=f"closed-form:{members}",
        dataset=members,
        controls=controls,
        out=str(root / "run"),
        index=str(root / "index"),
        embedder="pixels",
        attacks=("none",),
        **how,
    )
    assert run_scan(config).exit_code == 0
    return root / "run"


@pytest.fixture(scope="module")
def finished(tiles, tmp_path_factory):
    """A scan that is evidence."""
    return scanned(tmp_path_factory.mktemp("evidence"), tiles[:50])


@pytest.fixture(scope="module")
def elsewhere(tiles, tmp_path_factory):
    """The same of other images: those upside down."""
    return scanned(tmp_path_factory.mktemp("elsewhere"), [one[::-1].copy() for one in tiles[:50]])


@pytest.fixture
def evidence(finished, tmp_path):
    """A copy of the scan that is evidence, to be changed."""
    return shutil.copytree(finished, tmp_path / "evidence")


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


def test_a_baseline_that_was_changed_is_refused_where_something_vouches_for_it(
    memaudit_command, evidence, tmp_path
):
    run = shutil.copytree(evidence, tmp_path / "earlier")
    scan = (run / "scan.json").read_bytes()
    (run / "scan.json").write_bytes(scan.replace(b'"evidence"', b'"none beyond controls"'))
    for base in (run, run / "scan.json"):
        refused = memaudit_command("gate", evidence, "--baseline", base)
        assert refused.code == 2
        assert "was changed after its scan" in refused.err
    alone = (run / "scan.json").rename(tmp_path / "scan.json")
    assert memaudit_command("gate", evidence, "--baseline", alone).code == 1


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


def test_a_scan_that_found_nothing_passes_with_0(
    memaudit_command, members, controls, tiles, write_folder, tmp_path
):
    others, run = write_folder("others", tiles[50:58]), tmp_path / "none"
    quick = ("--embedder", "pixels", "--levels", 1, "--draws", 1, "--attacks", "none", "--out", run)
    scanned = memaudit_command(
        "scan", f"closed-form:{others}", members, "--controls", controls, *quick
    )
    assert scanned.code == 0
    gated = memaudit_command("gate", run)
    assert (gated.code, gated.out.partition(":")[2][:6]) == (0, " pass:")


@pytest.mark.parametrize(
    ("expires", "code", "said"),
    [("2999-01-01", 0, "does not count"), ("2020-01-01", 1, "expired, counts again")],
)
def test_a_suppression_counts_until_it_expires(
    memaudit_command, evidence, tmp_path, expires, code, said
):
    found = json.loads(memaudit_command("gate", evidence, "--json").out)["findings"]
    assert len(found) == 6
    policy = tmp_path / "memaudit.toml"
    policy.write_text(
        "[gate]\nmost_flagged = 0\n"
        + "".join(
            f'[[gate.suppress]]\nfingerprint = "{one["fingerprint"]}"\nstatement = "licensed"\n'
            f'expires = {expires}\napproved_by = "A"\n'
            for one in found
        ),
        encoding="utf-8",
    )
    gated = memaudit_command("gate", evidence, "--policy", policy)
    assert gated.code == code
    assert gated.out.count(said) == 6


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("most_new = 0", "shares no image with this run"),
        ("most_excess_increase = 0.1", "the data differ"),
    ],
)
def test_a_baseline_of_other_data_is_refused_with_2(
    memaudit_command, evidence, elsewhere, tmp_path, rule, said
):
    policy = tmp_path / "memaudit.toml"
    policy.write_text(f'[gate]\nevidence = "allow"\n{rule}\n', encoding="utf-8")
    gated = memaudit_command("gate", evidence, "--policy", policy, "--baseline", elsewhere)
    assert (gated.code, gated.out) == (2, "")
    assert said in gated.err


def test_the_excess_of_the_same_scan_has_not_gone_up(memaudit_command, evidence, tmp_path):
    policy = tmp_path / "memaudit.toml"
    policy.write_text(
        '[gate]\nevidence = "allow"\nmost_excess_increase = 0.0\nexcess_end = "estimate"\n',
        encoding="utf-8",
    )
    words = ("gate", evidence, "--policy", policy, "--baseline")
    gated = memaudit_command(*words, evidence)
    assert gated.code == 0
    assert "+0.0% (at most 0.0%)" in gated.out
    alone = memaudit_command(*words, evidence / "scan.json")
    assert alone.code == 4
    assert "a scan.json alone allows counts only" in alone.out


def test_an_increase_since_a_scan_by_another_attack_cannot_be_told(
    memaudit_command, evidence, tiles, tmp_path
):
    policy = tmp_path / "memaudit.toml"
    policy.write_text('[gate]\nevidence = "allow"\nmost_excess_increase = 0.0\n', encoding="utf-8")
    halves = scanned(tmp_path, tiles[:50], HALVED)
    gated = memaudit_command("gate", halves, "--policy", policy, "--baseline", evidence)
    assert gated.code == 4
    assert "did not ask by that at any level of it; scan both with the same" in gated.out


def test_a_tampered_run_is_refused_with_2(memaudit_command, evidence):
    findings = evidence / "findings.parquet"
    content = bytearray(findings.read_bytes())
    content[len(content) // 2] ^= 1
    findings.write_bytes(content)
    gated = memaudit_command("gate", evidence)
    assert (gated.code, gated.out) == (2, "")
    assert "findings.parquet" in gated.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--polcy", "x"), "No such option"),
        (("--policy", "nowhere.toml"), "the policy nowhere.toml cannot be read"),
        (("--baseline", "nowhere/scan.json"), "nowhere/scan.json cannot be read"),
        (("--junit", "nowhere/gate.xml"), "nowhere/gate.xml"),
    ],
)
def test_what_is_given_wrong_ends_in_2(memaudit_command, evidence, words, said):
    gated = memaudit_command("gate", evidence, *words)
    assert (gated.code, gated.out) == (2, "")
    assert said in gated.err


def test_a_gate_of_a_scan_of_nothing_readable_cannot_pass(
    memaudit_command, scan, controls, tmp_path
):
    bad, run = tmp_path / "bad", tmp_path / "run"
    bad.mkdir()
    for name in ("a.png", "b.png"):
        (bad / name).write_bytes(b"no image")
    scanned = scan(bad, "--controls", controls, "--out", run)
    gated = memaudit_command("gate", run)
    assert (scanned.code, gated.code) in ((4, 4), (2, 2))


def test_an_empty_data_set_leaves_no_run_to_pass(memaudit_command, scan, controls, tmp_path):
    (tmp_path / "empty").mkdir()
    assert scan(tmp_path / "empty", "--controls", controls, "--out", tmp_path / "run").code == 2
    assert memaudit_command("gate", tmp_path / "run").code == 2


def test_an_error_of_its_own_ends_in_3_and_never_in_1(memaudit_command, evidence, monkeypatch):
    """There is no bug to be had at will, so one is put where the gate decides."""

    def broken(*_):
        raise ValueError("unheard of")

    monkeypatch.setattr("memaudit.gate.pipeline.gate", broken)
    assert memaudit_command("gate", evidence).code == 3


def test_an_interrupted_gate_ends_in_130(memaudit_command, evidence, monkeypatch):
    """Ctrl-C comes at no chosen moment, so it is put where the gate decides."""

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("memaudit.gate.pipeline.gate", interrupted)
    assert memaudit_command("gate", evidence).code == 130

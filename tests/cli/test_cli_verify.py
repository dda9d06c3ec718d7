"""`memaudit verify`: exit codes, what is printed, and findings that are repeated."""

import json
import shutil
from hashlib import sha256

import pytest


@pytest.fixture
def run(scan, members, controls, tmp_path):
    """A finished scan of the perfect memorizer."""
    assert scan(members, "--controls", controls).code == 0
    return tmp_path / "run"


@pytest.fixture
def places(members, controls):
    """Where model and images stand."""
    return ("--model", f"closed-form:{members}", "--dataset", members, "--controls", controls)


def digest_of(run):
    return sha256((run / "manifest.json").read_bytes()).hexdigest()


def test_a_scan_ends_with_the_digest_that_verify_finds(
    memaudit_command, scan, members, controls, tmp_path
):
    finished = scan(members, "--controls", controls)
    digest = digest_of(tmp_path / "run")
    assert finished.out.splitlines()[-1] == f"Digest: {digest}"
    found = memaudit_command("verify", tmp_path / "run", "--digest", digest)
    assert found.code == 0
    assert found.out.startswith("Unchanged: all ")
    assert f"Digest of the run: {digest}" in found.out
    assert "The digest that was given is that of the run." in found.out


def test_json_of_a_scan_is_its_record_and_the_digest_is_told_beside_it(
    scan, members, controls, tmp_path
):
    finished = scan(members, "--controls", controls, "--json")
    assert json.loads(finished.out) == json.loads((tmp_path / "run" / "scan.json").read_text())
    assert f"digest of the run: {digest_of(tmp_path / 'run')}" in finished.err


def test_a_calibration_ends_with_another_digest(memaudit_command, run):
    before = digest_of(run)
    done = memaudit_command("calibrate", run, "--q", 0.1)
    assert done.out.splitlines()[-1] == f"Digest: {digest_of(run)}"
    assert digest_of(run) != before


def test_what_differs_ends_in_1_and_is_named(memaudit_command, run):
    wrong = memaudit_command("verify", run, "--digest", "0" * 64)
    assert wrong.code == 1
    assert "The digest that was given is another one." in wrong.out
    (run / "findings.csv").write_bytes(b"other")
    (run / "no\x1b[2J.txt").write_bytes(b"")
    found = memaudit_command("verify", run)
    assert found.code == 1
    assert "  changed  findings.csv: its sha256 is not the one listed" in found.out
    assert r"  extra    no\x1b[2J.txt" in found.out
    told = memaudit_command("verify", run, "--json")
    assert told.code == 1
    content = json.loads(told.out)
    assert (content["format"], content["state"], content["exit_code"]) == (1, "fail", 1)
    assert [one["name"] for one in content["differences"]] == ["findings.csv", "no\x1b[2J.txt"]


def test_evidence_is_written_beside_the_report_and_verified(memaudit_command, run, tmp_path):
    made = memaudit_command("report", run, "--out", tmp_path / "out", "--evidence")
    path = tmp_path / "out" / "evidence.zip"
    assert made.code == 0
    *places, said = made.out.splitlines()
    assert places == [f"Report: {tmp_path / 'out' / 'report.html'}", f"Evidence: {path}"]
    assert said.startswith("Digest of the zip: ")
    told = memaudit_command("verify", path, "--digest", said[-64:], "--json")
    content = json.loads(told.out)
    assert (told.code, content["state"], content["given"]) == (0, "pass", "the zip")
    assert content["digests"][0]["value"] == digest_of(run)
    path.write_bytes(path.read_bytes()[:-1])
    assert memaudit_command("verify", path).code == 2
    assert "findings.csv" not in memaudit_command("report", run, "--out", tmp_path / "no").out
    assert not (tmp_path / "no" / "evidence.zip").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--digest", "12"), "expected the 64 hexadecimal digits"),
        (("--replay", "3"), "--replay needs --model and --dataset"),
        (("--replay", "0", "--model", "m", "--dataset", "d"), "--replay must be 1 or more"),
        (("--model", "m"), "belong to --replay; leave them out, or give --replay"),
        (("--replay", "3", "--model", "m", "--dataset", "d"), "name them with --controls"),
    ],
)
def test_a_wrong_question_ends_in_2(memaudit_command, run, words, said):
    refused = memaudit_command("verify", run, *words)
    assert refused.code == 2
    assert said in refused.err


def test_what_is_no_finished_run_ends_in_2(memaudit_command, run, tmp_path):
    for path in (tmp_path / "nowhere", tmp_path, run / "scan.json"):
        assert memaudit_command("verify", path).code == 2
    (run / "scan.json").unlink()
    refused = memaudit_command("verify", run)
    assert (refused.code, refused.out) == (2, "")
    assert "not finished" in refused.err


def test_findings_are_repeated_from_their_seeds(memaudit_command, run, places):
    before = sorted((path, path.stat().st_mtime_ns) for path in run.rglob("*"))
    found = memaudit_command("verify", run, "--replay", 8, *places, "--verbose")
    assert found.code == 0
    assert "Repeated: 8 images (6 flagged), 16 rows of scores, each column within 0.0001" in (
        found.out
    )
    assert found.out.count(" (flagged, 2 rows, ") == 6
    told = memaudit_command("verify", run, "--replay", 99, *places, "--json")
    replay = json.loads(told.out)["replay"]
    assert len(replay["images"]) == 50
    assert all(one["largest"] <= 1e-4 for one in replay["columns"])
    assert {one["column"] for one in replay["columns"]} >= {"own_similarity", "psnr", "margin"}
    assert sorted((path, path.stat().st_mtime_ns) for path in run.rglob("*")) == before


def test_scores_that_are_not_repeated_end_in_1(memaudit_command, run, places):
    found = memaudit_command("verify", run, "--replay", 2, *places, "--tolerance", 0)
    assert found.code == 0  # the same machine repeats to the last bit
    shutil.rmtree(run / "images")
    refused = memaudit_command("verify", run, "--replay", 2, *places)
    assert refused.code == 1
    assert "nothing is repeated, because what would be compared was changed" in refused.err


def test_other_images_are_refused(memaudit_command, run, members, controls):
    words = ("--model", f"closed-form:{members}", "--dataset", controls, "--controls", members)
    refused = memaudit_command("verify", run, "--replay", 2, *words)
    assert refused.code == 2
    assert "the data sets are not those of the run" in refused.err


def test_another_model_is_named_and_nothing_is_repeated_with_it(
    memaudit_command, run, members, controls
):
    words = ("--model", f"closed-form:{controls}", "--dataset", members, "--controls", controls)
    refused = memaudit_command("verify", run, "--replay", 2, *words)
    assert refused.code == 1
    assert "the images that it memorized are not those of the record" in refused.out


def test_a_zip_is_not_repeated(memaudit_command, run, places, tmp_path):
    memaudit_command("report", run, "--out", tmp_path / "out", "--evidence")
    refused = memaudit_command("verify", tmp_path / "out" / "evidence.zip", "--replay", 2, *places)
    assert refused.code == 2
    assert "--replay needs a run directory" in refused.err

"""A run is held to its checksums: each file that is not as it was is named."""

import json
import random
import subprocess
from hashlib import sha256

import pytest

from memaudit.audit.calibration import recalibrate
from memaudit.config import CalibrationConfig
from memaudit.errors import RunDirectoryError
from memaudit.run.directory import RunDirectory
from memaudit.verify.directory import check_run

FLIPS = 6  # of each file; of the lists, many more
LISTS = {"manifest.json": 150, "SHA256SUMS": 150}


def flipped(data: bytes, at: int, bit: int) -> bytes:
    """The same with one bit turned."""
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def files(run):
    """All files of a run but its lock, which is empty."""
    found = (path for path in run.rglob("*") if path.is_file() and path.name != ".lock")
    return sorted(path.relative_to(run).as_posix() for path in found)


def named(checked):
    return [(one.kind, one.name) for one in checked.differences]


def test_a_finished_run_is_as_it_was_and_its_digest_is_that_of_its_manifest(finished):
    checked = check_run(finished.run)
    assert checked.passes
    manifest = (finished.run / "manifest.json").read_bytes()
    assert [one.value for one in checked.digests] == [sha256(manifest).hexdigest()]
    assert finished.digest == checked.digests[0].value
    assert finished.digest in (finished.run / "report.html").read_text(encoding="utf-8")


def test_everything_but_report_and_lists_is_in_the_manifest(finished):
    manifest = json.loads((finished.run / "manifest.json").read_text())
    listed = {*manifest["tables"], *manifest["files"]}
    assert set(files(finished.run)) - listed == {"manifest.json", "SHA256SUMS", "report.html"}
    assert {"scan.json", "errors.csv", "scores/part-00000.parquet", "pool.parquet"} <= listed


def test_sha256sum_finds_every_file_in_order(finished):
    command = ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"]
    subprocess.run(command, cwd=finished.run, check=True)
    lines = (finished.run / "SHA256SUMS").read_text().splitlines()
    assert sorted(line.split("  ")[1] for line in lines) == [
        name for name in files(finished.run) if name != "SHA256SUMS"
    ]


def test_one_turned_bit_anywhere_is_named(run):
    rng = random.Random(0)
    for name in files(run):
        data = (run / name).read_bytes()
        for _ in range(LISTS.get(name, FLIPS)):
            at, bit = rng.randrange(len(data)), rng.randrange(8)
            (run / name).write_bytes(flipped(data, at, bit))
            said = " ".join(f"{one.name}: {one.why}" for one in check_run(run).differences)
            assert name in said, f"bit {bit} of byte {at} of {name}: {said}"
        (run / name).write_bytes(data)
    assert check_run(run).passes


def test_what_is_missing_or_extra_is_named_and_what_memaudit_writes_beside_is_not(run):
    (run / "scores" / "part-00000.parquet").unlink()
    (run / "notes.txt").write_text("hello")
    (run / "images" / "more.png").write_bytes(b"")
    (run / "away").symlink_to("/")
    (run / "evidence.zip").write_bytes(b"")
    assert named(check_run(run)) == [
        ("missing", "scores/part-00000.parquet"),
        ("extra", "away"),
        ("extra", "notes.txt"),
        ("extra", "images/more.png"),
    ]


def test_a_file_that_became_a_link_to_no_file_is_named(run):
    (run / "errors.csv").unlink()
    (run / "errors.csv").symlink_to("/dev/zero")
    assert named(check_run(run)) == [("changed", "errors.csv")]


def test_a_file_that_was_changed_with_its_checksum_is_named(run):
    name, data = "findings.csv", (run / "findings.csv").read_bytes() + b"\n"
    before = sha256((run / name).read_bytes()).hexdigest()
    (run / name).write_bytes(data)
    sums = (run / "SHA256SUMS").read_text()
    (run / "SHA256SUMS").write_text(sums.replace(before, sha256(data).hexdigest()))
    assert named(check_run(run)) == [("changed", "SHA256SUMS"), ("changed", name)]


def test_who_changes_both_lists_is_found_by_the_digest(run, finished):
    before = sha256((run / "findings.csv").read_bytes()).hexdigest()
    (run / "findings.csv").write_bytes(b"other\n")
    now = sha256(b"other\n").hexdigest()
    manifest = (run / "manifest.json").read_bytes().replace(before.encode(), now.encode())
    sums = (run / "SHA256SUMS").read_text().replace(before, now)
    sums = sums.replace(finished.digest, sha256(manifest).hexdigest())
    (run / "manifest.json").write_bytes(manifest)
    (run / "SHA256SUMS").write_text(sums)
    checked = check_run(run)
    assert checked.passes
    assert named(checked.against(finished.digest)) == [("changed", "digest")]
    assert check_run(finished.run).against(finished.digest.upper()).given == "the run"


@pytest.mark.parametrize("name", ["manifest.json", "SHA256SUMS"])
def test_a_list_that_is_lost_is_named_and_the_other_one_counts(run, name):
    (run / name).unlink()
    (run / "summary.txt").write_bytes(b"")
    assert named(check_run(run)) == [("missing", name), ("changed", "summary.txt")]


def test_a_manifest_that_leads_outside_is_refused(run):
    manifest = (run / "manifest.json").read_bytes()
    (run / "manifest.json").write_bytes(manifest.replace(b'"errors.csv"', b'"../../errors"'))
    assert ("changed", "manifest.json") in named(check_run(run))


def test_a_new_calibration_makes_a_new_digest_and_the_old_one_is_told_apart(run, finished):
    result = recalibrate(str(run), CalibrationConfig(q=0.001))
    assert result.digest == RunDirectory.at(run).digest != finished.digest
    assert check_run(run).against(result.digest).passes
    assert not check_run(run).against(finished.digest).passes
    assert not list((run / "images").iterdir())


def test_a_run_that_is_not_finished_is_refused(run):
    with pytest.raises(RunDirectoryError, match="is no run directory"):
        check_run(run / "scores")
    directory = RunDirectory.at(run)
    directory.keep_findings(directory.findings(), directory.findings(), "begun anew")
    with pytest.raises(RunDirectoryError, match=r"is not sealed: .* its scores are kept"):
        check_run(run)
    (run / "scan.json").unlink()
    with pytest.raises(RunDirectoryError, match="holds a scan that is not finished"):
        check_run(run)


def test_a_run_of_an_earlier_memaudit_is_said_to_be_not_sealed(run):
    manifest = json.loads((run / "manifest.json").read_text())
    del manifest["files"]
    (run / "manifest.json").write_text(json.dumps(manifest, indent=1))
    (run / "SHA256SUMS").unlink()
    with pytest.raises(RunDirectoryError, match="is not sealed"):
        check_run(run)

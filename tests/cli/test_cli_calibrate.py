"""memaudit calibrate."""

import json

import pytest


@pytest.fixture
def run(scan, members, controls, tmp_path):
    """A finished run of the perfect memorizer."""
    assert scan(members, "--controls", controls, "--out", tmp_path / "run").code == 0
    return tmp_path / "run"


def test_another_rate_is_printed_written_and_recorded(memaudit_command, run):
    done = memaudit_command("calibrate", run, "--q", 0.001, "--verbose")
    assert done.code == 0  # the data set as a whole still stands out
    assert "flagged         0 of 6 members at q <= 0.001" in done.out
    summary, _, digest = done.out.rstrip("\n").rpartition("\n")
    assert (run / "summary.txt").read_text() == f"{summary}\n"
    assert digest.startswith("Digest: ")
    record = json.loads((run / "scan.json").read_text())
    assert [one["q"] for one in record["calibrations"]] == [0.05, 0.001]
    assert [one["flagged"] for one in record["calibrations"]] == [6, 0]
    again = memaudit_command("calibrate", run, "--json")
    assert again.code == 0
    assert json.loads(again.out) == json.loads((run / "scan.json").read_text())


def test_what_is_no_finished_run_ends_in_2(memaudit_command, run, tmp_path):
    (run / "scan.json").unlink()
    for folder, said in ((run, "is not finished"), (tmp_path / "nothing", "is no run directory")):
        done = memaudit_command("calibrate", folder)
        assert (done.code, done.out) == (2, "")
        assert said in done.err

"""A run directory holds one question, is held by one process, and keeps what is finished."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from memaudit.errors import RunDirectoryError
from memaudit.files import write_parquet
from memaudit.run.directory import RunDirectory, hold

HOLDER = """
import sys, time
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""
ASKED = {"seed": 0, "corruption": {"draws": 4, "sigmas": (1.0, 2.0)}, "fingerprint": "0" * 64}


def scores(*ids: str) -> pd.DataFrame:
    return pd.DataFrame({"example_id": ids, "margin": [0.5] * len(ids)})


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    with hold(tmp_path / "run") as directory:
        directory.start(ASKED)
    return directory


def test_the_same_question_continues_a_run(run):
    before = (run.path / "run.json").read_bytes()
    run.start(json.loads(json.dumps(ASKED)))
    assert (run.path / "run.json").read_bytes() == before
    with hold(run.path) as again:
        again.start(ASKED)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 1}, "(seed was 0, now 1)"),
        ({"corruption": {"draws": 4, "sigmas": (1.0,)}}, "(sigmas was [1.0, 2.0], now [1.0])"),
        ({"corruption": {"draws": 5, "sigmas": (1.0, 2.0)}}, "(draws was 4, now 5)"),
        ({"fingerprint": "1" * 64}, "(the data changed)"),
        ({"more": True}, "(more was not given, now True)"),
    ],
)
def test_another_question_is_refused_by_what_differs(run, change, said):
    with pytest.raises(RunDirectoryError) as refused:
        run.start(ASKED | change)
    assert said in str(refused.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"asked": 3}', '{"asked": null}'])
def test_a_damaged_question_is_refused(run, text):
    (run.path / "run.json").write_text(text)
    with pytest.raises(RunDirectoryError, match=r"run.json cannot be read .*; give another --out"):
        run.start(ASKED)


def test_parts_come_back_in_order_with_what_failed(run):
    run.write_part(1, scores("c"), {})
    run.write_part(0, scores("a", "b"), {"x": "gone"})
    table, failed = run.read_parts(2)
    assert table["example_id"].tolist() == ["a", "b", "c"]
    assert failed == {"x": "gone"}


def test_a_shard_that_failed_whole_is_an_empty_part(run):
    run.write_part(0, pd.DataFrame(), {"x": "gone", "y": "gone"})
    table, failed = run.read_parts(1)
    assert table.empty
    assert set(failed) == {"x", "y"}
    run.write_part(1, scores("a"), {})
    assert run.read_parts(2)[0]["example_id"].tolist() == ["a"]


@pytest.mark.parametrize("kept", [0, 3, 200])
def test_a_damaged_part_is_named(run, kept):
    run.write_part(0, scores("a"), {})
    run.part(0).write_bytes(run.part(0).read_bytes()[:kept])
    with pytest.raises(RunDirectoryError, match=r"part-00000.parquet is damaged .*remove that"):
        run.read_parts(1)


def test_a_part_of_another_program_is_refused(run):
    run.write_part(0, scores("a"), {})
    write_parquet(run.part(0), scores("a"))
    with pytest.raises(RunDirectoryError, match="was not written by a scan"):
        run.read_parts(1)


def test_one_process_at_a_time_holds_a_directory(tmp_path):
    out = tmp_path / "deep" / "run"
    with (
        hold(out),
        pytest.raises(RunDirectoryError, match="in use by another scan; wait for it"),
        hold(out),
    ):
        pass
    with hold(out) as directory:
        assert directory.path == out


def test_a_killed_process_leaves_nothing_locked(tmp_path):
    command = [sys.executable, "-c", HOLDER, tmp_path / ".lock"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(RunDirectoryError, match="in use"), hold(tmp_path):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with hold(tmp_path) as directory:
            directory.start(ASKED)


def test_what_is_no_run_is_refused_and_left_alone(tmp_path):
    file = tmp_path / "mine" / "run.sh"
    file.parent.mkdir()
    file.write_text("keep me")
    with pytest.raises(RunDirectoryError, match=r"holds run.sh but no run"), hold(file.parent):
        pass
    assert [path.name for path in file.parent.iterdir()] == ["run.sh"]
    with pytest.raises(RunDirectoryError, match="is a file; give a directory"), hold(file):
        pass
    with pytest.raises(RunDirectoryError, match="cannot be written: Not a directory"):
        hold(file / "below").__enter__()
    (file.parent / "more.txt").write_text("keep me")
    with pytest.raises(RunDirectoryError, match=r"holds more.txt and other things"):
        hold(file.parent).__enter__()


def test_a_scan_killed_before_it_said_its_question_can_be_started_again(tmp_path):
    (tmp_path / ".lock").touch()
    (tmp_path / "run.json.tmp").write_text("{")
    with hold(tmp_path) as directory:
        directory.start(ASKED)
    assert (tmp_path / "run.json").is_file()

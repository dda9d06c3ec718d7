"""A run directory holds one question, is held by one process, and keeps what is finished."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from scored import keys

from memaudit.config import Noise, Restoration, ScanConfig
from memaudit.errors import RunDirectoryError
from memaudit.files import to_parquet
from memaudit.run.differences import differences
from memaudit.run.directory import RunDirectory
from memaudit.run.parts import Part, Parts
from memaudit.run.store import hold

HOLDER = """
import sys, time
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""
ASKED = {"seed": 0, "noise": {"draws": 4, "sigmas": (1.0, 2.0)}, "fingerprint": "0" * 64}


def scores(*ids: str) -> pd.DataFrame:
    return keys(ids, [1.0]).assign(margin=0.5)


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    with hold(tmp_path / "run") as store:
        RunDirectory(store).start(ASKED)
    return RunDirectory(store)


@pytest.fixture
def parts(run: RunDirectory) -> Parts:
    return run.parts("scores")


def test_the_same_question_continues_a_run(run):
    before = run.store.get("run.json")
    run.start(json.loads(json.dumps(ASKED)))
    assert run.store.get("run.json") == before
    with hold(run.store.path) as again:
        RunDirectory(again).start(ASKED)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"corruption": ("noise", "mask-half")}, "--corruption was mask-box, now noise,mask-half"),
        ({"restoration": Restoration(levels=2)}, "--hidden-levels was 3, now 2"),
        ({"restoration": Restoration(draws=3)}, "--hidden-draws was 2, now 3"),
        ({"noise": Noise(levels=2)}, "--levels was 5, now 2"),
        ({"noise": Noise(sigmas=(0.5, 1.0))}, "--sigma was not given, now 0.5,1.0"),
        ({"noise": Noise(weak_draws=3)}, "--membership-draws was 2, now 3"),
        ({"dataset": "/others"}, "DATASET was /members, now /others"),
        ({"adaptive": True}, "the scan was --full, now --adaptive"),
        ({"score": ("margin",)}, "score was margin,tile_l2,l2_ratio, now margin"),
    ],
)
def test_differences_are_told_by_the_options_that_people_type(changes, said):
    given = {"model": "m", "dataset": "/members", "out": "run", "corruption": ("mask-box",)}
    asked = [
        json.loads(json.dumps(ScanConfig(**{"adaptive": False, **given, **more}).asked()))
        for more in ({}, changes)
    ]
    assert list(differences(*asked)) == [said]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 1}, "(seed was 0, now 1)"),
        ({"noise": {"draws": 4, "sigmas": (1.0,)}}, "(sigmas was 1.0,2.0, now 1.0)"),
        ({"noise": {"draws": 5, "sigmas": (1.0, 2.0)}}, "(draws was 4, now 5)"),
        ({"fingerprint": "1" * 64}, "(the data changed)"),
        ({"more": True}, "(more was not given, now True)"),
    ],
)
def test_another_question_is_refused_by_what_differs(run, change, said):
    with pytest.raises(RunDirectoryError) as refused:
        run.start(ASKED | change)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "null", "[" * 100_000),
        *('{"format": 2}', '{"format": 2, "asked": 3}', '{"format": 2, "digest": "", "asked": {}}'),
    ],
)
def test_a_damaged_question_is_refused(run, text):
    run.store.put("run.json", text.encode())
    with pytest.raises(RunDirectoryError, match=r"run.json cannot be read: .* another --out"):
        run.start(ASKED)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "an earlier version of memaudit"),
        ('{"asked": {"seed": 0}}', "an earlier version of memaudit"),
        ('{"format": 3, "asked": {"seed": 0}}', "format 3"),
    ],
)
def test_the_question_of_another_version_is_refused(run, text, said):
    run.store.put("run.json", text.encode())
    with pytest.raises(
        RunDirectoryError, match=rf"run.json is of {said}, expected format 2: .*out"
    ):
        run.start(ASKED)


def test_parts_come_back_in_order_with_what_failed(parts):
    parts.write(1, Part(scores("c")))
    parts.write(0, Part(scores("a", "b"), {"x": "gone"}))
    for found in (parts.read_all(2), parts.read_all()):
        assert found.table["example_id"].tolist() == ["a", "b", "c"]
        assert found.failed == {"x": "gone"}
    assert parts.read_all(1).table["example_id"].tolist() == ["a", "b"]
    assert parts.done() == {parts.name(0): 2, parts.name(1): 1}


def test_a_shard_that_failed_whole_is_an_empty_part(parts):
    parts.write(0, Part(failed={"x": "gone", "y": "gone"}))
    found = parts.read_all(1)
    assert found.table.empty
    assert set(found.failed) == {"x", "y"}
    parts.write(1, Part(scores("a")))
    assert parts.read_all(2).table["example_id"].tolist() == ["a"]


def test_each_kind_of_work_has_parts_of_its_own(run, parts):
    parts.write(0, Part(scores("a")))
    assert not run.parts("power").done()
    assert run.parts("power").read_all().table.empty


def cut(parts: Parts) -> None:
    parts.store.put(parts.name(0), parts.store.get(parts.name(0))[:200])


def replace_by_another(parts: Parts) -> None:
    parts.store.put(parts.name(0), to_parquet(scores("x")))


def empty(parts: Parts) -> None:
    parts.store.put(parts.name(0), b"")


@pytest.mark.parametrize("damage", [cut, replace_by_another, empty])
def test_a_part_that_is_not_what_was_written_is_named_and_never_read(parts, damage, caplog):
    for number, name in enumerate("ab"):
        parts.write(number, Part(scores(name)))
    damage(parts)
    named = r"scores/part-00000.parquet cannot be read \(it is damaged"
    for read in (parts.read_all, lambda: parts.read(0)):
        with pytest.raises(RunDirectoryError, match=rf"{named}.*scan again"):
            read()
    assert parts.done() == {parts.name(1): 1}
    assert re.search(rf"{named}.*made anew", caplog.text)
    assert parts.store.names("scores") == [parts.name(1)]


def test_a_part_that_no_scan_wrote_is_named_and_left_out(parts, caplog):
    parts.write(0, Part(scores("a")))
    parts.store.put(parts.name(7), parts.store.get(parts.name(0)))
    assert parts.read_all().table["example_id"].tolist() == ["a"]
    assert f"{parts.name(7)} not listed in manifest.json: left out" in caplog.text
    assert parts.done() == {parts.name(0): 1}
    assert f"{parts.name(7)} cannot be read (it is not listed in manifest.json" in caplog.text


def test_a_part_that_is_lost_is_named(parts):
    parts.write(3, Part(scores("a")))
    parts.store.remove(parts.name(3))
    assert not parts.done()
    with pytest.raises(RunDirectoryError, match=r"part-00003.parquet cannot be read .*is missing"):
        parts.read_all()


@pytest.mark.parametrize(
    "text", [None, "", "[]", '{"of": 3}', "[" * 100_000, '{"tables": {"a": 1}}']
)
def test_without_a_manifest_nothing_is_read_and_all_parts_are_made_anew(run, parts, text, caplog):
    parts.write(0, Part(scores("a")))
    if text is None:
        run.store.remove("manifest.json")
    else:
        run.store.put("manifest.json", text.encode())
    with pytest.raises(RunDirectoryError, match=r"manifest.json"):
        parts.read_all()
    run.start(ASKED)
    assert "the tables that it should vouch for are made anew" in caplog.text
    assert not parts.done()


def test_parts_of_another_question_are_made_anew_with_their_manifest(run, tmp_path, caplog):
    with hold(tmp_path / "other") as store:
        RunDirectory(store).start(ASKED | {"seed": 1})
    other = RunDirectory(store).parts("scores")
    other.write(0, Part(scores("a")))
    for name in ("manifest.json", other.name(0)):
        run.store.put(name, store.get(name))
    run.start(ASKED)
    assert "manifest.json belongs to something else" in caplog.text
    assert not run.parts("scores").done()


def test_a_question_that_was_changed_by_hand_is_refused(run):
    changed = json.loads(run.store.get("run.json"))
    changed["asked"]["seed"] = 1
    run.store.put("run.json", json.dumps(changed).encode())
    with pytest.raises(RunDirectoryError, match="its digest is not that of what it says was asked"):
        run.start(ASKED | {"seed": 1})


def test_one_process_at_a_time_holds_a_directory(tmp_path):
    out = tmp_path / "deep" / "run"
    with (
        hold(out),
        pytest.raises(RunDirectoryError, match="in use by another scan; wait for it"),
        hold(out),
    ):
        pass
    with hold(out) as store:
        assert store.path == out


def test_a_killed_process_leaves_nothing_locked(tmp_path):
    command = [sys.executable, "-c", HOLDER, tmp_path / ".lock"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(RunDirectoryError, match="in use"), hold(tmp_path):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with hold(tmp_path) as store:
            RunDirectory(store).start(ASKED)


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
    with hold(tmp_path) as store:
        RunDirectory(store).start(ASKED)
    assert (tmp_path / "run.json").is_file()


def test_what_is_not_finished_is_told_apart_from_what_is_no_run(run, tmp_path):
    with pytest.raises(RunDirectoryError, match=r"not finished: run.json is there, scan.json is"):
        run.record()
    with pytest.raises(RunDirectoryError, match=r"is no run directory: found no scan.json"):
        RunDirectory.at(tmp_path / "nothing").record()


@pytest.mark.parametrize("content", [None, b"", b"PAR1"])
def test_a_table_that_cannot_be_read_is_named(run, content):
    for name, read in (("pool", run.pool), ("findings", run.findings)):
        if content is not None:
            run.store.put(f"{name}.parquet", content)
        with pytest.raises(RunDirectoryError, match=rf"/{name}.parquet cannot be read .*again"):
            read()

"""A disk that is full is named, nothing finished is lost, and the same command goes on."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

MEGABYTE = 1 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={4 * MEGABYTE}", "tmpfs", str(place)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"mounting a small file system needs root: {error}")
    yield place
    subprocess.run(["umount", place], check=True)


def leave(disk: Path, free: int) -> Path:
    """Fill the disk but for some bytes."""
    filler = disk / "filler"
    filler.write_bytes(b"x" * (shutil.disk_usage(disk).free - free))
    return filler


def findings(run: Path) -> pd.DataFrame:
    return pd.read_parquet(run / "findings.parquet")


@pytest.mark.parametrize("free", [0, 8192, 32768, 65536])
def test_a_full_disk_under_the_run_is_named_and_the_scan_goes_on_later(
    scan, members, controls, disk, tmp_path, free
):
    filler = leave(disk, free)
    words = (members, "--controls", controls, "--out")
    run = scan(*words, disk / "run")
    assert run.code == 3
    assert f"the disk that holds {disk / 'run'} is full, 0.0 MB are free" in run.err
    assert "free some space, then run the same command again" in run.err
    assert not (disk / "run" / "scan.json").exists()
    filler.unlink()
    assert scan(*words, disk / "run").code == 0
    assert scan(*words, tmp_path / "other").code == 0
    pd.testing.assert_frame_equal(findings(disk / "run"), findings(tmp_path / "other"))
    assert not list((disk / "run").rglob("*.tmp"))


def test_a_full_disk_under_the_cache_is_named_and_the_scan_goes_on_later(
    scan, members, controls, disk, tmp_path, monkeypatch
):
    monkeypatch.setenv("MEMAUDIT_CACHE", str(disk / "cache"))
    filler = leave(disk, 16384)
    run = scan(members, "--controls", controls)
    assert run.code == 3
    assert f"the disk that holds {disk / 'cache'} is full" in run.err
    filler.unlink()
    assert scan(members, "--controls", controls).code == 0
    monkeypatch.setenv("MEMAUDIT_CACHE", str(tmp_path / "cache"))
    assert scan(members, "--controls", controls, "--out", tmp_path / "other").code == 0
    pd.testing.assert_frame_equal(findings(tmp_path / "run"), findings(tmp_path / "other"))


def test_an_index_that_outgrows_its_disk_does_not_kill_the_process(
    memaudit_command, controls, disk, tmp_path
):
    """A file that is mapped into memory and cannot grow ends a process with SIGBUS."""
    words = ["index", "build", controls, "--embedder", "pixels", "--out"]
    assert memaudit_command(*words, tmp_path / "whole").code == 0
    parts = sum(part.stat().st_size for part in (tmp_path / "whole" / "parts").iterdir())
    array = (tmp_path / "whole" / "index.faiss").stat().st_size
    filler = leave(disk, parts + array // 2)
    command = [sys.executable, "-m", "memaudit", *map(str, words), str(disk / "index")]
    left = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
    assert left.returncode == 3
    assert f"the disk that holds {disk / 'index'} is full" in left.stderr
    filler.unlink()
    assert memaudit_command(*words, disk / "index").code == 0


def test_a_full_disk_under_the_files_of_a_gate_is_named(scan, members, memaudit_command, disk):
    assert scan(members, "--out", disk / "run").code == 4
    leave(disk, 0)
    run = memaudit_command("gate", disk / "run", "--junit", disk / "gate.xml")
    assert run.code == 3
    assert f"the disk that holds {disk} is full" in run.err
    assert not list(disk.glob("*.tmp"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no such device")
def test_output_that_cannot_be_written_is_no_internal_error():
    with Path("/dev/full").open("w") as full:
        words = [sys.executable, "-m", "memaudit", "doctor", "--help"]
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 3
    assert "error: the output cannot be written: No space left on device; free some" in done.stderr

"""Errors of a full disk, and those that are none."""

import errno
import os
import re
import shutil
from pathlib import Path

import pytest

from memaudit.cli.disk import name_full_disk
from memaudit.errors import DependencyError

WORDS = os.strerror(errno.ENOSPC)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, WORDS, "a.parquet"),
        OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), "a.parquet"),
        RuntimeError(f"Error in fwrite: write error: {WORDS}"),
    ],
    ids=["space", "quota", "words of a library"],
)
def test_a_full_disk_is_named_whoever_says_so(tmp_path, error):
    with pytest.raises(DependencyError) as named, name_full_disk(tmp_path):
        raise error
    assert named.value.__cause__ is error
    assert f"the disk that holds {tmp_path} is full, " in str(named.value)
    assert "run the same command again: what was finished is kept" in str(named.value)


@pytest.mark.parametrize(
    "error", [OSError(errno.EACCES, "Permission denied"), ValueError("no"), KeyboardInterrupt()]
)
def test_other_errors_pass_as_they_are(tmp_path, error):
    with pytest.raises(type(error)) as passed, name_full_disk(tmp_path):
        raise error
    assert passed.value is error


def test_where_nothing_fails_nothing_is_said(tmp_path):
    with name_full_disk(tmp_path):
        done = True
    assert done


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a file system without any space")
@pytest.mark.parametrize("turned", [False, True])
def test_of_several_directories_the_one_with_the_least_space_is_named(tmp_path, turned):
    assert shutil.disk_usage("/proc").free == 0 < shutil.disk_usage(tmp_path).free
    both = ["/proc/nowhere/run", tmp_path][:: -1 if turned else 1]
    with (
        pytest.raises(DependencyError, match=r"/proc/nowhere/run is full, 0\.0 MB"),
        name_full_disk(*both),
    ):
        raise OSError(errno.ENOSPC, WORDS)


def test_a_directory_that_is_not_there_yet_is_measured_where_it_would_stand(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for place in (Path("below/run"), tmp_path / "below" / "run"):
        with pytest.raises(DependencyError) as named, name_full_disk(place):
            raise OSError(errno.ENOSPC, WORDS)
        said = str(named.value)
        [found] = re.findall(r" is full, (\S+) MB", said)
        assert float(found) == pytest.approx(shutil.disk_usage(tmp_path).free / 1e6, rel=0.1)

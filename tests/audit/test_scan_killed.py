import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from runs import ask, assert_same_findings, assert_same_scores, cut, written_at
from skimage import data as photographs

from memaudit.audit import scan

PARTS = ("index/parts/part-*.parquet", "run/scores/part-*.parquet")
SCREEN, POWER = (f"run/{work}/part-*.parquet" for work in ("screen", "power"))
MOMENTS = [
    ("index/.index.lock", 1),
    *((PARTS[0], count) for count in (1, 2, 4, 5)),
    ("index/index.faiss", 1),
    *((PARTS[1], count) for count in (1, 3, 4, 8, 13)),
    *((POWER, count) for count in (1, 6)),
    ("run/findings.parquet", 1),
    ("run/errors.csv", 1),
    *(("run/images/*.png", count) for count in (1, 5, 12)),
]
ADAPTIVE_MOMENTS = [(SCREEN, 2), (SCREEN, 5), (PARTS[1], 1), (POWER, 2)]


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def many_tiles():
    """360 different tiles of 16 px."""
    return cut(photographs.astronaut(), photographs.coffee(), photographs.rocket())[:360]


@pytest.fixture
def asked(many_tiles, write_folder, tmp_path):
    """Ask for a scan of 18 shards, of which the perfect memorizer has every third image."""
    changes = {
        "controls": str(write_folder("controls", many_tiles[120:])),
        "index": str(tmp_path / "index"),
        "shard_size": 20,
        "images": 50,
    }
    return write_folder("members", many_tiles[:120]), changes


def kill(asked, moments, folder):
    """Start the scan and kill it at every moment, in processes of its own."""
    members, changes = asked
    question = {"members": str(members), "folder": str(folder), "changes": changes}
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("killing.py"))],
        input=json.dumps(question | {"moments": moments}),
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_scan_killed_again_and_again_ends_in_the_same_findings(asked, tmp_path):
    kept = assert_unscathed(asked, MOMENTS, tmp_path)
    works = [path.parent.name for path in kept]
    assert (works.count("scores"), works.count("power")) == (18, 14)


def test_an_adaptive_scan_killed_again_and_again_ends_in_the_same_findings(
    many_tiles, write_folder, tmp_path
):
    changes = {
        "controls": str(write_folder("controls", many_tiles[30:130])),
        "index": str(tmp_path / "index"),
        "shard_size": 10,
        "steps": 16,
        "adaptive": True,
        "fraction": 0.25,
    }
    asked = (write_folder("members", many_tiles[:30]), changes)
    kept = assert_unscathed(asked, ADAPTIVE_MOMENTS, tmp_path)
    assert {path.parent.name for path in kept} == {"screen", "scores", "power"}


def assert_unscathed(asked, moments, folder):
    """Kill a scan at every moment, and require of the next what it finds if it is never killed.

    Returns the parts of the run that were there before the last of them; none was made twice.
    """
    ends = kill(asked, moments, folder)
    assert [end["killed"] for end in ends] == [True] * len(moments)
    assert not any("run/scan.json" in end["files"] for end in ends)

    members, changes = asked
    resumed = scan(ask(members, folder / "run", **changes))
    other = changes | {"index": str(folder / "other-index")}
    unscathed = scan(ask(members, folder / "unscathed", **other))
    assert_same_findings(resumed.findings, unscathed.findings)
    assert_same_scores(resumed.scores, unscathed.scores)
    assert resumed.summary.conduct.effort == unscathed.summary.conduct.effort
    assert resumed.summary.conduct.power.share == unscathed.summary.conduct.power.share
    assert files_in(folder / "run") == files_in(folder / "unscathed")

    last = written_at(folder)
    parts = {(path, time) for end in ends for path, time in end["files"].items() if is_part(path)}
    assert parts == {(path, last[path]) for path, _ in parts}
    return {Path(path).relative_to("run") for path, _ in parts if path.startswith("run/")}


def files_in(folder):
    return {path for path in written_at(folder) if not path.endswith(".tmp")}


def is_part(path):
    return Path(path).match("part-*.parquet")

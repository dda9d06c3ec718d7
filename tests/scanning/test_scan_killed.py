import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from runs import ask, assert_same_findings, assert_same_scores, written_at
from skimage import data as photographs

from memaudit.scanning import scan

PARTS = ("index/parts/part-*.parquet", "run/scores/part-*.parquet")
MOMENTS = [
    ("index/.index.lock", 1),
    *((PARTS[0], count) for count in (1, 2, 4, 5)),
    ("index/index.faiss", 1),
    *((PARTS[1], count) for count in (1, 3, 4, 8, 13)),
    ("run/findings.parquet", 1),
    ("run/errors.csv", 1),
    *(("run/images/*.png", count) for count in (1, 5, 12)),
]


@pytest.fixture(scope="module")
def many_tiles():
    """360 different tiles of 16 px, cut directly from photographs."""
    tiles = []
    for photograph in (photographs.astronaut(), photographs.coffee(), photographs.rocket()):
        height, width = photograph.shape[:2]
        cut = [
            photograph[y : y + 16, x : x + 16]
            for y in range(0, height - 15, 16)
            for x in range(0, width - 15, 16)
        ]
        tiles += [tile for tile in cut if tile.mean(2).std() > 20]
    order = np.random.default_rng(0).permutation(len(tiles))
    return [tiles[k] for k in order[:360]]


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


def kill(members, changes, folder):
    """Start the scan and kill it at every moment, in processes of its own."""
    question = {"members": str(members), "folder": str(folder), "changes": changes}
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("killing.py"))],
        input=json.dumps(question | {"moments": MOMENTS}),
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_scan_killed_again_and_again_ends_in_the_same_findings(asked, tmp_path):
    members, changes = asked
    ends = kill(members, changes, tmp_path)
    assert [end["killed"] for end in ends] == [True] * len(MOMENTS)
    assert not any("run/scan.json" in end["files"] for end in ends)

    resumed = scan(ask(members, tmp_path / "run", **changes))
    changes["index"] = str(tmp_path / "other-index")
    unscathed = scan(ask(members, tmp_path / "unscathed", **changes))
    assert_same_findings(resumed.findings, unscathed.findings)
    assert_same_scores(resumed.scores, unscathed.scores)
    assert files_in(tmp_path / "run") == files_in(tmp_path / "unscathed")

    last = written_at(tmp_path)
    parts = {(path, time) for end in ends for path, time in end["files"].items() if is_part(path)}
    assert len(parts) >= 6 + 13
    assert all(last[path] == time for path, time in parts)


def files_in(folder):
    return {path for path in written_at(folder) if not path.endswith(".tmp")}


def is_part(path):
    return Path(path).match("part-*.parquet")

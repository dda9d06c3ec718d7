"""Findings are repeated by the code of the scan, and what deviates is told column by column."""

import os
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from noisy_models import memorizer, write
from runs import ask, save

from memaudit.audit import scan
from memaudit.audit.replay import Replayed, _compared, replay
from memaudit.audit.replay_words import describe
from memaudit.config import Noise, ReplayConfig
from memaudit.records import CLEAN, FULL
from memaudit.run.parts import Part


def rows(**changes):
    """Scores of two images at one level, as a scan keeps them."""
    return pd.DataFrame(
        {
            "example_id": ["a", "b"],
            "attack": "reconstruction-ode",
            "input": CLEAN,
            "phase": FULL,
            "level": 1.0,
            "draw": 0,
            "psnr": [20.0, 30.0],
            "margin": [0.5, np.nan],
            "nearest_other": ["b", "a"],
            **changes,
        }
    )


def compare(now, failed=None):
    names = {"example_id": ["a", "b"], "source": ["a.png", "b.png"]}
    chosen = pd.DataFrame({**names, "flagged": True})
    then = Replayed(1e-4, "cpu", "cuda:0")
    return _compared(then, chosen, rows(), Part(now, failed or {}))


@pytest.mark.parametrize(
    ("changes", "column", "largest"),
    [
        ({}, "psnr", 0.0),
        ({"psnr": [20.0, 30.0027]}, "psnr", 9e-5),
        ({"psnr": [20.2, 30.0]}, "psnr", 0.01),
        ({"margin": [0.25, np.nan]}, "margin", 0.25),
        ({"margin": [0.5, 0.5]}, "margin", None),
        ({"nearest_other": ["b", "c"]}, "nearest_other", 1.0),
        ({"draw": [0, 1]}, "psnr", None),
    ],
)
def test_the_largest_deviation_of_a_column_is_told_and_decides(changes, column, largest):
    found = compare(rows(**changes))
    told = {one.column: one.largest for one in found.columns}
    assert told[column] == (None if largest is None else pytest.approx(largest))
    assert found.passes == (largest is not None and largest <= 1e-4)
    assert ("TOO LARGE" in describe(found, verbose=False)) != found.passes
    assert "on cpu; the scan ran on cuda:0" in describe(found, verbose=False)


def test_an_image_that_cannot_be_read_again_is_named_and_fails():
    found = compare(rows().head(1), {"b": "it is gone"})
    assert not found.passes
    assert "b.png could not be repeated: it is gone" in describe(found, verbose=True)
    assert not replace(found, images=()).passes


@pytest.fixture
def asked(sides, tmp_path):
    """A scan of the perfect memorizer, and how to repeat its findings."""
    config = ask(sides.members, tmp_path / "run", controls=sides.controls)
    again = ReplayConfig(
        replay=5,
        model=config.target.spec,
        dataset=str(sides.members),
        controls=str(sides.controls),
    )
    return config, again


def test_images_that_moved_are_found_in_their_new_place(asked, sides, tmp_path):
    config, again = asked
    scan(config)
    moved = {side: tmp_path / "moved" / side for side in ("members", "controls")}
    for side, folder in moved.items():
        shutil.copytree(getattr(sides, side), folder)
        for path in folder.iterdir():
            os.utime(path, (0, 0))  # another copy has other times, and so another fingerprint
    again = replace(again, dataset=str(moved["members"]), controls=str(moved["controls"]))
    found = replay(str(tmp_path / "run"), again)
    assert found.passes
    assert max(one.largest for one in found.columns) <= 1e-4
    assert [one.flagged for one in found.images] == [True] * 5


def test_an_adaptive_scan_and_a_reference_are_repeated_where_images_were_scanned_in_full(
    asked, sides, tmp_path
):
    config, again = asked
    reference = f"closed-form:{sides.others}"
    more = {"adaptive": True, "steps": 16, "reference": reference}
    result = scan(replace(config, **more, reference_trained_on=str(sides.others)))
    found = replay(str(tmp_path / "run"), replace(again, replay=200))
    assert found.passes
    full = result.findings[result.findings["representative"] & (result.findings["stage"] == FULL)]
    assert [one.example_id for one in found.images] == full["example_id"].tolist()
    assert "similarity_gain" in {one.column for one in found.columns}


def test_noisy_copies_are_repeated(tiles, tmp_path):
    members = save(tmp_path / "members", tiles[:15])
    loaded = memorizer(tiles[:15], write(tmp_path / "model", tiles[:15]))
    noise = Noise(sigmas=(0.8, 3.0), draws=1)
    controls = save(tmp_path / "controls", tiles[15:55])
    config = ask(members, tmp_path / "run", controls=controls, noise=noise)
    scan(replace(config, model="my own"), loaded=loaded)
    again = ReplayConfig(replay=3, model="my own", dataset=str(members), controls=str(controls))
    found = replay(str(tmp_path / "run"), again, loaded=loaded)
    assert found.passes
    assert "copy_correlation" in {one.column for one in found.columns}

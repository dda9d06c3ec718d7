"""What is drawn of a comparison, read back from the pictures."""

import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as PillowImage

from memaudit.attacks.reconstruction import ODE
from memaudit.comparison.finished import read_run
from memaudit.comparison.plots import draw_distributions, draw_quality
from memaudit.comparison.shares import Distribution
from memaudit.records import CLEAN, COPY

VALUES = {"member": np.linspace(0.15, 0.9, 20), "control": np.linspace(0.11, 0.4, 30)}


def both(run, level="all", what=CLEAN):
    return [Distribution(run, ODE, what, level, split, VALUES[split]) for split in VALUES]


def words(path):
    """The texts of an SVG file, which draws letters as outlines and names each text."""
    return re.findall(r"<!-- (.*?) -->", path.with_suffix(".svg").read_text(encoding="utf-8"))


def size(path):
    with PillowImage.open(path.with_suffix(".png")) as picture:
        return picture.size


def test_distributions_are_drawn_a_column_a_level_the_levels_in_order(tmp_path):
    levels = ("10", "2", "all", "0.5")
    found = [one for level in levels for one in both("one", level)]
    draw_distributions(tmp_path / "similarity", found)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        "similarity.png",
        "similarity.svg",
    ]
    said = words(tmp_path / "similarity")
    titles = [word for word in said if word.startswith(("level", "all levels"))]
    assert titles == ["all levels", "level 0.5", "level 2", "level 10"]
    assert said.count("own similarity") == 4
    rows = ("density", "share at or below", "share at or above")
    assert [word for word in said if word in rows] == list(rows)
    assert size(tmp_path / "similarity") == (13 * 110, 935)


def test_each_run_and_side_stands_once_in_the_legend(tmp_path):
    draw_distributions(tmp_path / "a", [*both("one"), *both("two"), *both("one", "2")])
    said = words(tmp_path / "a")
    names = [f"{split}s, {run}" for run in ("one", "two") for split in VALUES]
    assert sorted(word for word in said if word.startswith(("members", "controls"))) == sorted(
        names
    )


def test_members_are_drawn_through_and_controls_dashed(tmp_path):
    for split in VALUES:
        draw_distributions(tmp_path / split, [one for one in both("one") if one.split == split])
    dashed = {
        split: (tmp_path / f"{split}.svg").read_text().count("stroke-dasharray") for split in VALUES
    }
    assert dashed == {"member": 0, "control": 4}  # three curves and the legend


def test_what_noisy_copies_are_measured_by_is_said(tmp_path):
    draw_distributions(tmp_path / "a", both("one", what=COPY))
    assert words(tmp_path / "a").count("correlation with the noise of the copy") == 1


def test_a_side_without_images_is_left_out(tmp_path):
    members, controls = both("one")
    draw_distributions(tmp_path / "a", [members, replace(controls, values=np.zeros(0))])
    said = words(tmp_path / "a")
    assert "members, one" in said
    assert "controls, one" not in said


def test_a_dollar_in_a_name_is_a_dollar(tmp_path):
    draw_distributions(tmp_path / "a", both(r"$\frac$"))  # no formula
    assert r"members, $\frac$" in words(tmp_path / "a")


def test_the_same_distributions_are_drawn_in_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        draw_distributions(tmp_path / name, both("run"))
    for kind in (".png", ".svg"):
        one, two = ((tmp_path / name).with_suffix(kind) for name in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()


@pytest.fixture
def measured(runs):
    """A run with the quality of generated images."""
    run = replace(read_run(runs.memorizer), name="first")
    assert run.excess is not None
    assert run.record.quality.frechet is not None
    return run


def with_quality(run, **changes):
    quality = replace(run.record.quality, **changes) if changes else None
    return replace(run, record=replace(run.record, quality=quality))


def without_excess(run):
    dataset = replace(run.record.summary.dataset, excess=None)
    summary = replace(run.record.summary, dataset=dataset)
    return replace(run, record=replace(run.record, summary=summary))


def test_quality_is_drawn_of_runs_that_can_be_compared_once_each(measured, tmp_path):
    other = replace(measured, name="second")
    more = measured.record.quality.steps + 1
    left_out = [
        replace(with_quality(measured, steps=more), name="of other steps"),
        replace(with_quality(measured, frechet=None, reason="too few"), name="without a distance"),
        replace(with_quality(measured), name="without quality"),
        replace(without_excess(measured), name="without controls"),
    ]
    assert draw_quality(tmp_path / "quality", [measured, other, *left_out, measured])
    said = words(tmp_path / "quality")
    assert [said.count(name) for name in ("first", "second")] == [1, 1]
    assert not any(run.name in said for run in left_out)
    assert "Frechet distance of generated images (less is better)" in said
    assert size(tmp_path / "quality") == (770, 550)


def test_without_a_distance_there_is_no_picture(measured, tmp_path):
    runs = [with_quality(measured), with_quality(measured, frechet=None, reason="too few")]
    assert not draw_quality(tmp_path / "quality", runs)
    assert not draw_quality(tmp_path / "quality", [without_excess(measured)])
    assert not draw_quality(tmp_path / "quality", [])
    assert [path for path in tmp_path.iterdir() if path.is_file()] == []


def test_a_letter_that_no_font_has_is_a_remark_and_no_warning(tmp_path, caplog):
    draw_distributions(tmp_path / "similarity", both("\U000f0000 東"))
    assert "similarity: Glyph" in caplog.text
    assert (tmp_path / "similarity.png").is_file()

import shutil

import numpy as np
import pytest
from PIL import Image as PillowImage
from runs import NUMBERS, ask

from memaudit.audit import scan
from memaudit.statistics.findings import BY_CONTROL


@pytest.fixture
def run(sides, tmp_path):
    """Scan the sides as they stand."""

    def run_scan(out="run", **changes):
        fields = {"controls": sides.controls, "power": False, **changes}
        return scan(ask(sides.members, tmp_path / out, **fields))

    return run_scan


def lighter(source, target):
    """Write a near copy: all pixels two grey levels up."""
    pixels = np.asarray(PillowImage.open(source)).astype(int) + 2
    PillowImage.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(target)


def rows_of(findings, *names, split="member"):
    return findings[(findings["split"] == split) & findings["source"].isin(names)]


def test_an_exact_copy_is_scored_once_and_both_rows_have_its_numbers(run, sides):
    shutil.copy(sides.members / "003.png", sides.members / "copy.png")
    result = run()
    rows = rows_of(result.findings, "003.png", "copy.png")
    assert rows["example_id"].nunique() == 1
    assert rows["group"].nunique() == 1
    assert sorted(rows["representative"]) == [False, True]
    assert len(rows[NUMBERS].drop_duplicates()) == 1
    assert rows["flagged"].all()
    assert (result.scores["example_id"] == rows["example_id"].iloc[0]).sum() == 2  # levels
    counts = result.summary.counts
    assert (counts.members, counts.member_groups, counts.duplicates) == (16, 15, 1)
    assert result.summary.flagged.rows == result.summary.flagged.groups + 1


def test_copies_in_another_format_are_exact_copies(run, sides):
    PillowImage.open(sides.members / "003.png").save(sides.members / "copy.bmp")
    rows = rows_of(run().findings, "003.png", "copy.bmp")
    assert rows["example_id"].nunique() == 1
    assert len(rows) == 2


def test_a_near_copy_inherits_the_row_of_its_group_and_is_no_neighbour(run, sides):
    lighter(sides.members / "003.png", sides.members / "near.png")
    result = run()
    rows = rows_of(result.findings, "003.png", "near.png")
    assert rows["example_id"].nunique() == 2
    assert rows["group"].nunique() == 1
    assert rows["representative"].sum() == 1
    assert len(rows[NUMBERS].drop_duplicates()) == 1
    assert not rows["nearest_other"].isin(rows["example_id"]).any()
    assert not result.scores["nearest_other"].isin(rows["example_id"]).all()
    chosen = set(rows.loc[rows["representative"], "example_id"])
    assert set(result.scores["example_id"]) & set(rows["example_id"]) == chosen


def test_the_duplicate_threshold_decides_what_a_near_copy_is(run, sides):
    lighter(sides.members / "003.png", sides.members / "near.png")
    rows = rows_of(run(duplicate_threshold=1.1).findings, "003.png", "near.png")
    assert rows["group"].nunique() == 2
    assert rows["representative"].all()


@pytest.mark.parametrize("copy", [shutil.copy, lighter])
def test_a_group_on_both_sides_counts_once_with_the_label_of_its_representative(run, sides, copy):
    copy(sides.members / "003.png", sides.controls / "both.png")
    result = run()
    findings = result.findings
    members = rows_of(findings, "003.png")
    rows = findings[findings["group"] == members["group"].iloc[0]]
    assert sorted(rows["split"]) == ["control", "member"]
    assert rows["score"].nunique() == 1
    stands = rows.loc[rows["representative"], "split"].item()
    member = rows[rows["split"] == "member"].iloc[0]
    assert (member["reason"] == BY_CONTROL) == np.isnan(member["p_value"]) == (stands == "control")
    counts = result.summary.counts
    as_control = int(stands == "control")
    groups = (counts.member_groups, counts.control_groups, counts.spanning_groups)
    assert groups == (15 - as_control, 40 + as_control, 1)
    assert result.summary.levels[0].members == 15 - as_control


def test_the_copy_that_says_most_stands_for_its_group_whichever_side_it_is_on(run, sides):
    """A lossy copy, a smaller one and a mirrored one never stand for the lossless original."""
    original = PillowImage.open(sides.members / "003.png")
    original.save(sides.members / "lossy.jpg", quality=95)
    original.save(sides.controls / "lossy.jpg", quality=90)
    findings = run(duplicate_threshold=0.9).findings
    group = rows_of(findings, "003.png")["group"].item()
    rows = findings[findings["group"] == group]
    assert set(rows["source"]) == {"003.png", "lossy.jpg"}
    assert rows.loc[rows["representative"], "source"].item() == "003.png"
    assert rows_of(findings, "003.png")["p_value"].notna().all()


def test_copies_in_another_format_do_not_make_the_sides_differ(run, sides):
    """What stands for a group has the format that is common in the pool."""
    for path in list(sides.members.glob("*.png")):
        PillowImage.open(path).save(path.with_suffix(".bmp"))
    findings = run().findings
    stand = findings[findings["representative"] & (findings["split"] == "member")]
    assert len(stand) == 15
    assert stand["source"].str.endswith(".png").all()


def test_a_memorized_picture_is_flagged_once_in_whatever_forms_it_stands_there(
    run, sides, tmp_path
):
    """As PNG, BMP and JPEG it is one; mirrored, where the embedder tells that apart, another."""
    shutil.copytree(sides.members, tmp_path / "seen")
    alone = run("alone", q=0.1)
    for path in list(sides.members.glob("*.png")):
        image = PillowImage.open(path)
        image.save(path.with_suffix(".bmp"))
        image.save(path.with_suffix(".jpg"), quality=95, subsampling=0)
        image.transpose(PillowImage.Transpose.FLIP_LEFT_RIGHT).save(path.with_stem(f"{path.stem}m"))
    forms = {"model": f"closed-form:{tmp_path / 'seen'}", "duplicate_threshold": 0.95}
    result = run("forms", q=0.1, **forms)
    rows = result.findings[result.findings["split"] == "member"]
    seen = rows[~rows["source"].str.contains("m")]
    assert result.summary.counts.members == 60
    assert seen["group"].nunique() == 15
    flagged = seen[seen["representative"] & seen["flagged"]]
    assert len(flagged) == alone.summary.flagged.groups == 15
    assert flagged["source"].str.endswith(".png").all()


def test_pixels_on_both_sides_are_members_as_often_as_chance_has_it(run, sides):
    """Which of two rows of the same pixels stands for them is no matter of the side."""
    for path in list(sides.members.glob("*.png")):
        shutil.copy(path, sides.controls / f"again-{path.name}")
    table = run().findings
    both = table[table.groupby("group")["split"].transform("nunique") > 1]
    stands = both.loc[both["representative"], "split"].value_counts()
    assert stands.sum() == 15
    assert stands.min() >= 3


def test_controls_listed_twice_count_once(run, sides):
    once = run("once").findings
    (sides.controls / "again").mkdir()
    for path in list(sides.controls.glob("*.png")):
        shutil.copy(path, sides.controls / "again")
    result = run("twice")
    counts = result.summary.counts
    assert (counts.controls, counts.control_groups, counts.spanning_groups) == (80, 40, 0)
    names = [path.name for path in sides.members.iterdir()]
    p = [rows_of(table, *names).set_index("source")["p_value"] for table in (once, result.findings)]
    assert p[0].sort_index().equals(p[1].sort_index())


def test_the_same_folder_as_both_sides_is_no_comparison(run, sides):
    shutil.rmtree(sides.controls)
    shutil.copytree(sides.members, sides.controls)
    result = run()
    assert len(result.findings) == 30
    assert result.summary.counts.spanning_groups == 15
    assert "members and controls are copies of each other" in result.summary.verdict.sentence
    assert result.exit_code == 4

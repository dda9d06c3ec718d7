import json
import os
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as PillowImage
from runs import ask, assert_same_findings, photographed, save

from memaudit.audit import scan
from memaudit.audit.lookup import Wanted, build_index
from memaudit.config import DataConfig, DataOptions, Noise
from memaudit.errors import DataError, RunDirectoryError
from memaudit.progress import silent
from memaudit.statistics.findings import UNSCORED


@pytest.fixture
def config(sides, tmp_path):
    return ask(sides.members, tmp_path / "run", controls=sides.controls, images=50)


def when(stage, act):
    """Progress that acts once a stage is done."""

    def progress(name, done, total):
        if (name, done) == (stage, total):
            act()

    return progress


def repaint(path, pixels):
    """Write other pixels into an uncompressed file that keeps its size and time."""
    before = path.stat()
    PillowImage.fromarray(pixels).save(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def test_a_damaged_file_is_a_row_of_errors_and_nothing_else(config, sides, tmp_path):
    path = sides.members / "007.png"
    path.write_bytes(path.read_bytes()[:200])
    result = scan(config)
    assert result.errors[["split", "source"]].to_numpy().tolist() == [["member", "007.png"]]
    assert "damaged" in result.errors["error"].iloc[0]
    assert "member,007.png," in (tmp_path / "run" / "errors.csv").read_text()
    assert len(result.findings) == 54
    assert result.summary.counts.unreadable == 1
    assert result.summary.counts.unscored == 0


def test_a_damaged_file_changes_no_number_of_the_others(sides, unet, tmp_path):
    asked = {"model": unet, "self_check": False, "controls": sides.controls}
    (sides.members / "0075.png").write_bytes(b"\x89PNG")
    damaged = scan(ask(sides.members, tmp_path / "damaged", **asked)).findings
    (sides.members / "0075.png").unlink()
    assert_same_findings(damaged, scan(ask(sides.members, tmp_path / "whole", **asked)).findings)


def test_nothing_readable_is_refused(config, sides):
    for folder in (sides.members, sides.controls):
        for path in folder.iterdir():
            path.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"none of the 55 images can be read; the first: 8 bytes"):
        scan(replace(config, model=f"closed-form:{sides.others}"))


def test_members_that_are_all_unreadable_leave_the_verdict_open(sides, tmp_path):
    for path in sides.members.iterdir():
        path.write_bytes(b"no image")
    model = f"closed-form:{sides.others}"
    result = scan(ask(sides.members, tmp_path / "run", controls=sides.controls, model=model))
    assert result.exit_code == 4
    assert len(result.findings) == 40
    assert "no member could be scored" in result.summary.verdict.sentence


def test_a_file_deleted_between_embedding_and_scoring_could_not_be_scored(config, sides):
    result = scan(config, when("embed", (sides.members / "007.png").unlink))
    assert result.errors[["split", "source"]].to_numpy().tolist() == [["member", "007.png"]]
    assert "No such file" in result.errors["error"].iloc[0]
    rows = result.findings.set_index(["split", "source"])
    gone = rows.loc[("member", "007.png")]
    assert gone["reason"] == UNSCORED
    assert np.isnan(gone["score"])
    assert not gone["flagged"]
    assert rows["score"].isna().sum() == 1
    assert result.summary.counts.unscored == 1
    assert result.summary.counts.member_groups == 14


def test_a_file_deleted_after_scoring_keeps_its_row_and_has_no_strip(config, sides, tmp_path):
    config = replace(config, noise=Noise(levels=1, draws=1))
    result = scan(config, when("scan", (sides.members / "007.png").unlink))
    assert len(result.errors) == 0
    flagged = result.findings[result.findings["flagged"]]
    assert "007.png" in set(flagged["source"])
    strips = {path.stem.split("-")[1] for path in (tmp_path / "run" / "images").iterdir()}
    gone = flagged.loc[flagged["source"] == "007.png", "example_id"].iloc[0][:12]
    assert strips == {example_id[:12] for example_id in flagged["example_id"]} - {gone}


def test_an_image_gone_after_the_first_pass_could_not_be_scored(tmp_path):
    images = photographed()
    members = save(tmp_path / "members", images[:24])
    asked = {
        "controls": save(tmp_path / "controls", images[24:134]),
        "noise": Noise(sigmas=(0.5,), draws=1),
        "steps": 16,
        "power": False,
        "adaptive": True,
        "fraction": 0.25,
    }
    whole = scan(ask(members, tmp_path / "whole", **asked)).findings
    member = whole[whole["flagged"]].iloc[0]
    result = scan(
        ask(members, tmp_path / "run", **asked), when("screen", (members / member["source"]).unlink)
    )
    assert result.errors["source"].to_list() == [member["source"]]
    row = result.findings.set_index("example_id").loc[member["example_id"]]
    assert (row["reason"], row["stage"], row["flagged"]) == (UNSCORED, "", False)
    flagged = set(whole.loc[whole["flagged"], "example_id"]) - {member["example_id"]}
    assert set(result.findings.loc[result.findings["flagged"], "example_id"]) == flagged


@pytest.mark.parametrize("side", ["members", "controls"])
@pytest.mark.parametrize("stage", ["embed", "scan"])
def test_without_a_side_that_can_still_be_read_the_power_is_not_measured(
    config, sides, side, stage
):
    def remove():
        for path in getattr(sides, side).iterdir():
            path.unlink()

    result = scan(config, when(stage, remove))
    assert result.summary.conduct.power is None


@pytest.fixture
def bitmaps(sides, tmp_path):
    """Members as uncompressed files, and an index of them and the controls."""
    for path in sorted(sides.members.iterdir()):
        PillowImage.open(path).save(path.with_suffix(".bmp"))
        path.unlink()
    data = DataConfig(dataset=str(sides.members), controls=str(sides.controls))
    build_index(data, Wanted(str(tmp_path / "index"), "pixels", 16), silent)
    return sides.members


def test_pixels_that_changed_after_they_were_indexed_could_not_be_scored(
    bitmaps, sides, tiles, tmp_path
):
    repaint(bitmaps / "003.bmp", tiles[70])
    index = tmp_path / "index"
    result = scan(ask(bitmaps, tmp_path / "run", controls=sides.controls, index=index))
    assert result.prepared.data.index_reused
    assert result.errors["source"].to_list() == ["003.bmp"]
    assert "not those that were indexed" in result.errors["error"].iloc[0]
    rows = result.findings.set_index(["split", "source"])
    assert rows.loc[("member", "003.bmp"), "reason"] == UNSCORED
    assert result.summary.counts.unscored == 1


def test_an_index_of_quite_other_pixels_is_refused(bitmaps, tiles, tmp_path):
    index = tmp_path / "other-index"
    build_index(DataConfig(dataset=str(bitmaps)), Wanted(str(index), "pixels", 16), silent)
    for k, path in enumerate(sorted(bitmaps.iterdir())):
        repaint(path, tiles[k + 20])
    with pytest.raises(DataError, match=r"none of 15 images .*other-index.*touch the file"):
        scan(ask(bitmaps, tmp_path / "run", index=index))


def test_a_resumed_scan_does_not_mix_scores_of_other_levels(bitmaps, sides, tiles, tmp_path):
    def stop(*progress):
        if progress[0] == "scan":
            raise KeyboardInterrupt

    index = tmp_path / "index"
    config = ask(
        bitmaps,
        tmp_path / "run",
        controls=sides.controls,
        index=index,
        shard_size=50,
        model=f"closed-form:{sides.others}",
    )
    with pytest.raises(KeyboardInterrupt):
        scan(config, stop)
    for k, path in enumerate(sorted(bitmaps.iterdir())[:10]):
        repaint(path, tiles[k + 60])
    with pytest.raises(RunDirectoryError, match="other images or noise levels"):
        scan(config)


def test_a_sample_is_drawn_by_the_seed_recorded_and_drawn_again_on_resume(sides, tmp_path):
    def asked(name, seed):
        data = DataOptions(sample=12)
        return ask(sides.members, tmp_path / name, controls=sides.controls, data=data, seed=seed)

    first = scan(asked("run", 0)).findings
    assert first["split"].value_counts().to_dict() == {"member": 12, "control": 12}
    (tmp_path / "run" / "scores" / "part-00000.parquet").unlink()
    assert scan(asked("run", 0)).findings.equals(first)
    report = json.loads((tmp_path / "run" / "scan.json").read_text())
    assert report["config"]["data"]["sample"] == 12
    assert report["config"]["attack"]["seed"] == 0
    other = scan(asked("other", 1)).findings
    assert set(other["example_id"]) != set(first["example_id"])

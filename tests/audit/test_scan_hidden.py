"""Scans of images of which a part is hidden: exact answers of the perfect memorizer."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from runs import ask, assert_same_findings, photographed, save

from memaudit.attacks.reconstruction import ODE
from memaudit.audit import scan
from memaudit.audit.calibration import recalibrate
from memaudit.audit.plan import estimate
from memaudit.audit.replay import replay
from memaudit.config import (
    MEMBERSHIP,
    RESTORATIONS,
    CalibrationConfig,
    Noise,
    ReplayConfig,
    Restoration,
)
from memaudit.errors import ConfigError, DataError, InputError, RunDirectoryError
from memaudit.report.words import describe
from memaudit.statistics.verdict import Outcome

MEMBERS, IMAGES = 20, 100
KINDS = ("mask-random:.9", "mask-box:.75", "mask-half", "noise+mask:.75", "downsample:4", "blur:3")
QUICK = Restoration(draws=1, steps=6)
LEFT_OUT = {"noise": Noise(), "steps": 10}  # options of noise


@pytest.fixture(scope="module")
def images():
    return photographed()[: IMAGES + 20]


@pytest.fixture(scope="module")
def asked(images, tmp_path_factory):
    """How to ask for a scan of the perfect memorizer of the members."""
    folder = tmp_path_factory.mktemp("hidden")
    members = save(folder / "members", images[:MEMBERS])
    save(folder / "others", images[IMAGES:])
    fields = {
        "controls": save(folder / "controls", images[MEMBERS:IMAGES]),
        "index": folder / "index",
    }

    def one(out, **changes):
        words = changes.get("corruption", ("noise",))
        how = {"noise": Noise(sigmas=(0.5,), draws=1)} if "noise" in words else LEFT_OUT
        hidden = {"restoration": QUICK} if words != ("noise",) else {}
        return ask(members, folder / out, **{**fields, **how, **hidden, **changes})

    return one


@pytest.fixture(scope="module")
def boxes(asked):
    """By boxes alone, with strips and the power check."""
    return scan(asked("boxes", corruption=("mask-box:.5", "mask-box:.75"), images=3))


@pytest.mark.parametrize("word", KINDS)
def test_all_members_of_the_perfect_memorizer_are_found_by_each_kind(asked, word):
    result = scan(asked(word.replace(":", "-"), corruption=(word,), power=False))
    table, kind = result.findings, word.partition(":")[0]
    assert result.prepared.primary.attack == RESTORATIONS[kind]
    assert table.groupby("split")["flagged"].sum().to_dict() == {"control": 0, "member": MEMBERS}
    assert set(result.scores["attack"]) == {RESTORATIONS[kind]}
    assert len(result.scores) == IMAGES
    assert (table.loc[table["split"] == "member", "l2"] < 0.01).all()


@pytest.mark.parametrize("word", KINDS)
def test_a_memorizer_of_other_images_shows_nothing(asked, word):
    config = asked(f"other-{word.replace(':', '-')}", corruption=(word,))
    others = config.data.dataset.replace("members", "others")
    result = scan(replace(config, model=f"closed-form:{others}"))
    assert result.summary.verdict.outcome is Outcome.NONE, result.summary.verdict.sentence
    assert result.summary.flagged.groups == 0
    assert 0.3 < result.summary.dataset.auc.estimate < 0.7


def test_a_verdict_says_that_images_were_hidden(boxes):
    verdict = boxes.summary.verdict
    assert (verdict.outcome, verdict.claim) == (Outcome.EVIDENCE, "reproduction")
    assert "evidence of reproduction under this attack with so much hidden" in verdict.sentence
    assert "where so much of them is hidden that at most 1 in 100 controls do" in verdict.sentence
    text = " ".join(describe(boxes.record).split())
    assert "calls what was restored a copy of what was hidden" in text
    assert "noise" not in text
    page = (Path(boxes.config.execution.out) / "report.html").read_text("utf-8")
    assert "Restored where it was hidden" in page
    assert "hidden in a box, 47% and 77% of it in turn" in page
    assert "noised copy" not in page


def test_levels_are_shares_and_each_has_its_power(boxes):
    assert boxes.prepared.levels.hidden == {
        "restoration-mask-box": (0.4727, 0.7656)
    }  # boxes of 11 and 14 px
    levels = [(one.level, one.power, round(one.snr_db, 2)) for one in boxes.summary.levels]
    assert levels == [(0.4727, 1.0, 0.47), (0.7656, 1.0, -5.14)]
    recovered = boxes.findings.loc[boxes.findings["flagged"], "recovered_from_snr_db"]
    assert set(recovered.round(2)) <= {0.47, -5.14}


def test_each_finding_has_a_strip_of_what_was_seen_and_restored(boxes):
    strips = sorted(Path(boxes.config.execution.out).glob("images/*.png"))
    assert len(strips) == 3


def test_the_first_corruption_carries_the_verdict_and_the_others_are_exploratory(asked):
    by_noise = scan(asked("noise", power=False))
    both = scan(asked("both", corruption=("noise", "mask-box:.75"), power=False))
    assert both.prepared.primary.attack == ODE
    assert [one.attack for one in both.summary.explored] == ["restoration-mask-box"]
    assert both.summary.verdict == by_noise.summary.verdict
    assert_same_findings(both.findings, by_noise.findings)
    turned = scan(asked("turned", corruption=("mask-box:.75", "noise"), power=False))
    assert turned.prepared.primary.attack == "restoration-mask-box"
    assert [one.attack for one in turned.summary.explored] == [ODE]


def test_membership_is_asked_beside_what_is_hidden(asked):
    result = scan(asked("membership", corruption=("mask-half",), attacks=(MEMBERSHIP,)))
    assert [one.attack for one in result.summary.claims] == ["restoration-mask-half", MEMBERSHIP]
    assert [one.flagged for one in result.summary.claims] == [MEMBERS, MEMBERS]


def test_batches_and_shards_change_nothing(asked):
    kinds = {"corruption": KINDS, "power": False}
    one = scan(asked("whole", **kinds))
    other = scan(asked("pieces", **kinds, batch_size=3, shard_size=7))
    keys = ["example_id", "attack", "level", "draw"]
    tables = [run.scores.set_index(keys).sort_index() for run in (one, other)]
    numbers = ["l2", "tile_l2", "l2_ratio", "own_similarity", "margin"]
    for name in numbers:
        np.testing.assert_allclose(tables[0][name], tables[1][name], rtol=1e-3, atol=1e-3)
    assert one.findings.set_index("source")["flagged"].equals(
        other.findings.set_index("source")["flagged"].reindex(one.findings["source"])
    )


def test_a_label_swap_moves_no_score(asked, tmp_path):
    config = asked("as-is", corruption=KINDS, power=False)
    one = scan(config)
    swapped = replace(
        config,
        dataset=config.data.controls,
        controls=config.data.dataset,
        out=str(tmp_path / "swapped"),
        index=None,
    )
    other = scan(swapped)
    keys = ["example_id", "attack", "level", "draw"]
    columns = [*keys, "l2", "tile_l2", "l2_ratio", "margin"]
    tables = [run.scores[columns].sort_values(keys, ignore_index=True) for run in (one, other)]
    pd.testing.assert_frame_equal(*tables, rtol=1e-4, atol=1e-4)


def test_an_interrupted_scan_goes_on_to_the_same(asked):
    def broken(stage, done, _total):
        if stage == "scan" and done >= 20:
            raise KeyboardInterrupt

    config = asked("broken", corruption=KINDS, power=False, shard_size=10)
    with pytest.raises(KeyboardInterrupt):
        scan(config, broken)
    whole = scan(asked("unbroken", corruption=KINDS, power=False, shard_size=10))
    assert_same_findings(scan(config).findings.assign(**BLANK), whole.findings.assign(**BLANK))


BLANK = {"psnr": 0.0, "ssim": 0.0, "adaptive_l2": 0.0}  # columns that restorations do not have


def test_a_run_is_replayed_and_calibrated_again(boxes):
    out = boxes.config.execution.out
    data = boxes.config.data
    replayed = replay(
        out,
        ReplayConfig(
            replay=2, model=boxes.config.target.spec, dataset=data.dataset, controls=data.controls
        ),
    )
    assert replayed.passes
    assert [one.rows for one in replayed.images] == [2, 2]
    again = recalibrate(out, CalibrationConfig(q=0.1))
    assert again.summary.flagged.groups == boxes.summary.flagged.groups


def test_an_adaptive_scan_restores_what_stands_out(asked):
    how = {"adaptive": True, "fraction": 0.2, "restoration": Restoration(draws=2, steps=12)}
    result = scan(asked("adaptive", corruption=KINDS, attacks=(MEMBERSHIP,), **how))
    assert result.summary.conduct.effort.saved > 1
    assert result.summary.flagged.groups == MEMBERS


def test_a_reference_restores_the_same(asked):
    config = asked("reference", corruption=KINDS, power=False)
    others = config.data.dataset.replace("members", "others")
    told = {"reference": f"closed-form:{others}", "reference_trained_on": others}
    result = scan(replace(config, **told))
    members = result.findings["split"] == "member"
    assert result.findings.loc[members, "similarity_gain"].min() > 0
    assert result.summary.flagged.groups == MEMBERS


def test_a_plan_counts_what_a_scan_does(asked):
    kinds = ("mask-box:.5", "mask-box:.75", "downsample:4")
    planned = estimate(asked("plan", corruption=kinds, power=False))
    each = QUICK.draws * QUICK.steps * 5
    assert planned.evaluations == IMAGES * 3 * each
    assert (planned.levels, planned.levels_at_most) == (2, 2)


@pytest.fixture(scope="module")
def objects(tmp_path_factory) -> Path:
    """A file of boxes that lacks every fifth image, in pixels of images of 32 px."""
    names = [f"{k:03d}.png" for k in range(IMAGES - MEMBERS) if k % 5]
    content = {
        "images": [
            {"id": k, "file_name": name, "width": 32, "height": 32} for k, name in enumerate(names)
        ],
        "annotations": [
            {"image_id": k, "bbox": box}
            for k in range(len(names))
            for box in ([4, 6, 16, 18], [0, 0, 30, 31], [5, 5, 1, 1], [40, 5, 9, 9])
        ],
    }
    path = tmp_path_factory.mktemp("objects") / "coco.json"
    path.write_text(json.dumps(content), "utf-8")
    return path


def with_objects(asked, out, objects, **changes):
    controls = objects.with_stem("controls")
    controls.write_text(objects.read_text("utf-8"), "utf-8")
    how = {"boxes": str(objects), "controls_boxes": str(controls), "power": False}
    return asked(out, corruption=("mask-object",), **{**how, **changes})


def test_objects_are_hidden_and_images_without_a_box_are_counted(asked, objects):
    result = scan(with_objects(asked, "objects", objects))
    flagged = result.findings.groupby("split")["flagged"].sum().to_dict()
    assert flagged == {"control": 0, "member": MEMBERS}
    found = result.prepared.boxes
    counted = found.images, found.named, found.boxed
    assert counted == (IMAGES, IMAGES * 4 // 5, IMAGES * 4 // 5)
    left_out = found.too_large, found.too_small, found.outside
    assert left_out == (80, 80, 80)
    assert found.share == pytest.approx(16 * 18 / 32**2, abs=1e-4)
    assert result.prepared.levels.hidden == {"restoration-mask-object": (found.share,)}
    text = " ".join(describe(result.record).split())
    assert (
        "boxes 80 of 100 images have one of a size that is asked for; of the others a box" in text
    )
    assert "boxes left out: 240 (80 hide more than 0.5 of the image, 80 less than 0.01, 80" in text


def test_an_interrupted_scan_of_objects_goes_on_with_the_same_boxes_alone(asked, objects, tmp_path):
    config = with_objects(asked, "objects-on", objects)
    first = scan(config)
    pd.testing.assert_frame_equal(scan(config).findings, first.findings)
    before, other = objects.read_text("utf-8"), tmp_path / "other.json"
    other.write_text(
        objects.read_text("utf-8").replace("[4, 6, 16, 18]", "[5, 6, 16, 18]"), "utf-8"
    )
    shutil.copy(other, objects)
    with pytest.raises(RunDirectoryError, match="the boxes changed"):
        scan(config)
    objects.write_text(before, "utf-8")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"boxes": None, "controls_boxes": None}, "give a file of boxes with --boxes"),
        (
            {"controls_boxes": None},
            "two images 001.png: the control .* and the member .*--controls-b",
        ),
        ({"boxes": None}, "--controls-boxes are given and no --boxes"),
        ({"corruption": ("mask-half",)}, "--boxes are for --corruption mask-object"),
        ({"restoration": replace(QUICK, smallest=0.94, largest=0.95)}, "240 less, 80 lie outside"),
    ],
)
def test_boxes_that_do_not_serve_are_refused(asked, objects, changes, said):
    with pytest.raises(InputError, match=said):
        scan(replace(with_objects(asked, "objects-refused", objects), **changes))


def test_boxes_of_one_side_alone_are_refused(asked, objects, tmp_path):
    content = json.loads(objects.read_text("utf-8"))
    controls = tmp_path / "controls.json"
    controls.write_text(json.dumps({**content, "annotations": content["annotations"][:4]}), "utf-8")
    with pytest.raises(DataError, match="80% of the members and 1% of the controls have a box of"):
        scan(with_objects(asked, "one-side", objects, controls_boxes=str(controls)))
    larger = [{**one, "bbox": [4, 6, 16, 24]} for one in content["annotations"]]
    controls.write_text(json.dumps({**content, "annotations": larger}), "utf-8")
    with pytest.raises(DataError, match=r"boxes hide 0\.28 of a member and 0\.38 of a"):
        scan(with_objects(asked, "larger", objects, controls_boxes=str(controls)))


def test_boxes_of_other_images_are_refused(asked, tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text('file_name,bbox\nnone.png,"[1, 2, 3, 4]"\n', "utf-8")
    with pytest.raises(DataError, match="names none of the 100 images: the first name in it is"):
        scan(with_objects(asked, "objects-other", path))


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("mask-box:.999", "hides all of an image of 16 x 16 px; give less"),
        ("mask-random:.001", "hides no pixel of an image of 16 x 16 px; give more"),
        ("downsample:3", "sides of 16 x 16 px cannot be divided by 3"),
    ],
)
def test_what_hides_nothing_or_all_is_refused_before_the_first_score(asked, word, said):
    with pytest.raises(ConfigError, match=said):
        scan(asked("refused", corruption=(word,)))


def test_a_plan_counts_the_corrupted_images_of_all_corruptions(asked):
    both = ("mask-half", "noise")
    planned = estimate(asked("plan-both", corruption=both, reconstruct=("ode", "one-step")))
    assert planned.queries == IMAGES * (QUICK.draws + 1)  # a half, and noise at one level

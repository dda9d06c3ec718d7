import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from runs import ask, assert_same_scores, cut, save, written_at
from skimage import data as photographs

from memaudit.attacks.reconstruction import ODE, ONE_STEP
from memaudit.audit import scan
from memaudit.audit.power import _shown
from memaudit.config import Noise
from memaudit.models.closed_form import ClosedForm
from memaudit.models.codec import encode_pixels
from memaudit.models.loaded import Loaded
from memaudit.models.provenance import Provenance
from memaudit.models.shown import Shown
from memaudit.records import SCREEN
from memaudit.statistics.probes import Probe
from memaudit.statistics.verdict import Outcome

WEAK = Noise(sigmas=(0.3, 0.5), draws=1)


@pytest.fixture(scope="module")
def folder(tiles, tmp_path_factory):
    """15 members, 40 controls, both together, and 25 others."""
    folder = tmp_path_factory.mktemp("power")
    save(folder / "members", tiles[:15])
    save(folder / "controls", tiles[15:55])
    save(folder / "both", tiles[:55])
    save(folder / "others", tiles[55:])
    return folder


@pytest.fixture(scope="module")
def asked(folder):
    """How to ask for a scan of the perfect memorizer of a folder."""

    def ask_for(out, memorized="others", dataset=folder / "members", **changes):
        fields = {
            "model": f"closed-form:{folder / memorized}",
            "controls": folder / "controls",
            "index": folder / "index",
            "noise": WEAK,
            "shard_size": 20,
        }
        return ask(dataset, folder / out, **{**fields, **changes})

    return ask_for


@pytest.fixture(scope="module")
def measured(asked):
    """The scan of a model that saw neither side, finished."""
    return scan(asked("measured"))


@pytest.fixture(scope="module")
def unmeasured(asked):
    """The same scan without the power check."""
    return scan(asked("unmeasured", power=False))


@pytest.fixture
def again(measured, tmp_path):
    """The question of the finished scan, and a copy of its run."""
    shutil.copytree(measured.config.execution.out, tmp_path / "run")
    return replace(measured.config, out=str(tmp_path / "run"))


def part_files(result):
    return sorted((Path(result.config.execution.out) / "power").glob("part-*.parquet"))


def rows_of(result):
    return pd.concat([pd.read_parquet(file) for file in part_files(result)], ignore_index=True)


def grades(result):
    return [(level.level, level.grade) for level in result.summary.levels]


def test_at_weak_noise_a_perfect_memorizer_is_found(measured):
    power = measured.summary.conduct.power
    assert (power.members, power.controls, power.candidates, power.of) == (15, 40, 15, 15)
    assert power.share == power.high == 1
    assert power.low == pytest.approx(0.025 ** (1 / 15))
    assert [(level.level, level.share) for level in power.levels] == [(0.3, 1), (0.5, 1)]
    assert grades(measured) == [(0.3, "informative"), (0.5, "informative")]


def test_a_scan_that_finds_nothing_where_it_could_have_says_none(measured):
    assert measured.summary.flagged.groups == 0
    assert measured.summary.verdict.outcome is Outcome.NONE
    assert measured.exit_code == 0


def test_at_noise_far_above_the_window_a_scan_that_flags_nothing_has_no_power(asked):
    result = scan(asked("strong", noise=Noise(sigmas=(50.0,), draws=1)))
    share = result.summary.conduct.power.share
    assert share < 0.5
    assert grades(result) == [(50.0, "no power")]
    assert result.summary.flagged.groups == 0
    assert result.summary.verdict.outcome is Outcome.INCONCLUSIVE
    assert result.exit_code == 4
    assert result.summary.verdict.reasons[0].startswith(
        f"no power: of a perfect memorizer's images this scan finds {share:.0%}, expected at "
        "least 50%"
    )


def test_each_level_has_a_power_of_its_own(asked):
    result = scan(asked("two", noise=Noise(sigmas=(0.5, 50.0), draws=1)))
    assert grades(result) == [(0.5, "informative"), (50.0, "no power")]
    shares = [level.share for level in result.summary.conduct.power.levels]
    assert [level.power for level in result.summary.levels] == shares
    assert shares[0] == 1
    assert shares[1] < 0.5


def test_where_held_out_images_come_back_as_copies_the_levels_are_too_easy(asked):
    result = scan(asked("easy", memorized="both"))
    assert result.summary.conduct.power.share == 1
    assert grades(result) == [(0.3, "too easy"), (0.5, "too easy")]
    assert result.summary.flagged.groups == 0
    assert result.summary.verdict.outcome is Outcome.INCONCLUSIVE
    assert result.summary.verdict.reasons[0].startswith("no informative noise level")


def test_of_the_perfect_memorizer_itself_the_power_is_what_the_scan_shows(asked):
    noise = Noise(levels=2, draws=1)
    modes = ("one-step", "ode")
    result = scan(asked("itself", memorized="members", reconstruct=modes, noise=noise))
    ode = Probe(ODE).rows(result.scores)
    assert_same_scores(rows_of(result), ode)
    levels = [level for level in result.summary.levels if level.attack == ODE]
    assert [level.power for level in levels] == [level.share_above for level in levels]
    assert result.summary.conduct.power.share == result.summary.dataset.share_above
    others = [level for level in result.summary.levels if level.attack == ONE_STEP]
    assert [(level.power, level.grade) for level in others] == [(None, "")] * 2


def test_the_memorizer_of_a_repeated_image_weighs_it_as_often_as_it_was_repeated(asked, folder):
    repeated = shutil.copytree(folder / "members", folder / "repeated")
    for k in range(11):
        shutil.copy(repeated / "003.png", repeated / f"again-{k}.png")
    noise = Noise(sigmas=(0.5, 8.0), draws=1)
    fields = {"memorized": "repeated", "dataset": repeated, "index": None, "noise": noise}
    result = scan(asked("run-of-repeated", **fields))
    assert_same_scores(rows_of(result), Probe(ODE).rows(result.scores))
    assert result.summary.conduct.power.candidates == 15


def test_captions_of_their_own_give_power_at_any_noise_if_the_model_is_told_them(
    asked, folder, tiles
):
    told = {side: write_captions(folder, side) for side in ("members", "controls")}
    pixels = encode_pixels(torch.from_numpy(np.stack(tiles[:15])).permute(0, 3, 1, 2), 3)
    captions = tuple(f"members {k}" for k in range(15))
    model = Loaded(ClosedForm(pixels, shown=Shown(15, torch.arange(15), captions)), Provenance())
    fields = {"dataset": told["members"], "controls": told["controls"], "index": None}
    noise = Noise(sigmas=(0.5, 50.0), draws=1)

    def scan_it(prompt, model):
        return scan(asked(f"told-{prompt}", prompt=prompt, noise=noise, **fields), loaded=model)

    own = scan_it("own", model)
    assert_same_scores(rows_of(own), Probe(ODE).rows(own.scores))
    assert [level.share for level in own.summary.conduct.power.levels] == [1, 1]
    for prompt in ("empty", "other"):
        levels = scan_it(prompt, model).summary.conduct.power.levels
        assert levels[0].share == 1
        assert levels[1].share < 0.5
    untold = scan(asked("untold", noise=noise, **fields)).summary.conduct.power.levels
    assert untold[1].share < 0.5


def write_captions(folder, side):
    """A copy of a folder, each image with a caption of its own."""
    copy = shutil.copytree(folder / side, folder / f"{side}-told")
    names = sorted(path.name for path in copy.iterdir())
    text = [f"{side} {k}" for k in range(len(names))]
    pd.DataFrame({"file_name": names, "text": text}).to_csv(copy / "metadata.csv", index=False)
    return copy


def test_the_power_check_changes_no_finding(measured, unmeasured):
    assert measured.findings.equals(unmeasured.findings)
    assert measured.scores.equals(unmeasured.scores)


def test_a_scan_that_finds_nothing_and_did_not_measure_its_power_is_inconclusive(unmeasured):
    assert unmeasured.summary.conduct.power is None
    assert part_files(unmeasured) == []
    assert [(level.power, level.grade) for level in unmeasured.summary.levels] == [(None, "")] * 2
    assert unmeasured.summary.verdict.outcome is Outcome.INCONCLUSIVE
    assert "the power of the scan was not measured" in unmeasured.summary.verdict.sentence
    assert unmeasured.exit_code == 4


def test_evidence_needs_no_power_check(asked):
    result = scan(asked("evidence", memorized="members", power=False))
    assert result.summary.verdict.outcome is Outcome.EVIDENCE


def test_finished_parts_of_the_power_check_are_not_made_again(again, measured):
    power = Path(again.execution.out) / "power"
    before = written_at(power)
    assert before.keys() == {f"part-{k:05d}.parquet" for k in range(3)}
    assert scan(again).summary == measured.summary
    assert written_at(power) == before
    (power / "part-00001.parquet").unlink()
    assert scan(again).summary == measured.summary
    after = written_at(power)
    assert {name for name in before if after[name] != before[name]} == {"part-00001.parquet"}


@pytest.mark.parametrize("batch_size", [1, 7])
def test_the_batch_size_does_not_change_the_power(again, measured, batch_size):
    shutil.rmtree(Path(again.execution.out) / "power")
    result = scan(replace(again, batch_size=batch_size))
    assert_same_scores(rows_of(result), rows_of(measured))
    one, other = measured.summary.conduct.power, result.summary.conduct.power
    assert (one.share, one.low, one.high) == (other.share, other.low, other.high)
    assert [level.share for level in one.levels] == [level.share for level in other.levels]


def test_of_many_members_64_are_queried_and_all_are_memorized(asked, folder, tiles):
    extra = cut(photographs.astronaut(), side=48)[:60]
    many = save(folder / "many", [*tiles[:15], *extra])
    noise = Noise(sigmas=(0.3,), draws=1)
    result = scan(asked("run-of-many", dataset=many, index=None, noise=noise))
    power, groups = result.summary.conduct.power, result.summary.counts.member_groups
    assert (power.members, power.controls) == (64, 40)
    assert power.candidates == power.of == groups > 64
    rows = result.findings[result.findings["representative"]]
    ids = rows.groupby("split")["example_id"].agg(sorted)
    assert set(rows_of(result)["example_id"]) == {*ids["member"][:64], *ids["control"]}


@pytest.mark.parametrize("side", ["members", "controls"])
def test_with_a_single_image_on_a_side_the_power_is_not_measured(asked, folder, tiles, side):
    one = save(folder / f"one-of-{side}", tiles[:1] if side == "members" else tiles[15:16])
    where = {"members": "dataset", "controls": "controls"}[side]
    result = scan(asked(f"run-of-one-of-{side}", index=None, **{where: one}))
    assert result.summary.conduct.power is None
    assert part_files(result) == []


def test_without_controls_the_power_is_not_measured(asked):
    result = scan(asked("alone", index=None, controls=None))
    assert result.summary.conduct.power is None
    assert part_files(result) == []
    assert len(result.findings) == 15
    assert result.exit_code == 4


def test_an_adaptive_scan_is_graded_by_its_full_scan(asked, folder, tiles):
    more = save(folder / "more", tiles[15:])
    options = {"controls": more, "index": None, "adaptive": True, "steps": 16}
    result = scan(asked("adaptive", memorized="members", **options))
    assert result.summary.conduct.effort.screen == (ODE,)
    assert result.summary.conduct.power.share == 1
    assert {(level.probe, level.grade) for level in result.summary.levels} == {
        (Probe(ODE), "informative"),
        (Probe(ODE, phase=SCREEN), ""),
    }


def test_near_copies_repeat_a_clean_image_and_exact_copies_alone_a_noisy_one():
    table = pd.DataFrame(
        {
            "example_id": ["a", "b", "b", "c", "d"],
            "group": [0, 1, 1, 1, 2],
            "prompt": ["", "cat", "dog", "cat", "dog"],
        }
    )
    shown = _shown(table, ["b", "a"], "group")
    assert shown.times(()).tolist() == [[3, 1]]
    assert shown.times(["cat", "dog", ""]).tolist() == [[2, 0], [1, 0], [3, 1]]
    shown = _shown(table, ["b", "a"], "example_id")
    assert shown.times(["cat", "dog", ""]).tolist() == [[1, 0], [1, 0], [2, 1]]
    assert _shown(table.assign(prompt=""), ["b", "a"], "group").captions == ()

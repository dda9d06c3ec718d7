import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from noisy_models import SIGMA_N, clean, memorizer, noisy, unaware, write
from runs import ask, assert_same_findings, assert_same_scores, photographed, save, written_at

from memaudit.attacks.reconstruction import ODE, ONE_STEP
from memaudit.audit import scan
from memaudit.config import Noise
from memaudit.data import image_id
from memaudit.demo.run import MODELS
from memaudit.demo.tiles import split_tiles
from memaudit.errors import ConfigError, DataError, MisreadModelError, RunDirectoryError
from memaudit.models.ambient import Ambient
from memaudit.models.closed_form import ClosedForm
from memaudit.records import CLEAN, COPY, SCREEN
from memaudit.statistics.copies import correlation_test
from memaudit.statistics.probes import Probe, probes_in
from memaudit.statistics.verdict import Outcome

MEMBERS, CONTROLS = 20, 80
LEVELS = Noise(sigmas=(0.8, 1.5, 3.0), draws=1)


@pytest.fixture(scope="module")
def images():
    """20 members, 80 controls and 20 others, no two of them alike."""
    tiles = photographed()[: MEMBERS + CONTROLS + 20]
    return [tiles[k] for k in np.random.default_rng(0).permutation(len(tiles))]


@pytest.fixture(scope="module")
def folder(images, tmp_path_factory):
    """Members, controls, and a model's folder with the members' noisy copies."""
    folder = tmp_path_factory.mktemp("noisy")
    save(folder / "members", images[:MEMBERS])
    save(folder / "controls", images[MEMBERS : MEMBERS + CONTROLS])
    write(folder / "model", images[:MEMBERS])
    return folder


@pytest.fixture(scope="module")
def asked(folder):
    """How to ask for a scan of a model of noisy data."""

    def ask_for(out, **changes):
        fields = {
            "model": "my own",
            "controls": folder / "controls",
            "index": folder / "index",
            "noise": LEVELS,
            "shard_size": 30,
            "power": False,
        }
        return ask(folder / "members", folder / out, **{**fields, **changes})

    return ask_for


@pytest.fixture(scope="module")
def model(images, folder):
    return memorizer(images[:MEMBERS], folder / "model")


@pytest.fixture(scope="module")
def finished(asked, model):
    return scan(asked("finished", power=True), loaded=model)


@pytest.fixture(scope="module")
def innocent(asked, images, folder):
    other = unaware(images[MEMBERS + CONTROLS :], folder / "model")
    return scan(asked("innocent", power=True), loaded=other)


@pytest.fixture
def again(finished, tmp_path):
    shutil.copytree(finished.config.execution.out, tmp_path / "run")
    return replace(finished.config, out=str(tmp_path / "run"))


def rows(result, attack, what=CLEAN):
    return Probe(attack, what).rows(result.scores)


def test_a_memorizer_of_noisy_copies_is_found_by_its_copies(finished):
    flagged = finished.findings[finished.findings["flagged"]]
    assert len(flagged) == MEMBERS
    assert set(flagged["split"]) == {"member"}
    assert finished.summary.verdict.outcome is Outcome.EVIDENCE
    by_input = {one.input: one for one in finished.summary.conduct.noisy.by_input}
    assert by_input["noisy copy"].auc == 1
    assert by_input["noisy copy"].flagged == (flagged["input"] == "noisy copy").sum() > 0
    assert sum(one.flagged for one in by_input.values()) == MEMBERS
    said = finished.summary.verdict.reasons[0]
    assert f"{by_input['noisy copy'].flagged} by the noisy copy" in said
    assert finished.summary.conduct.noisy.advice == ""


def test_the_copies_are_returned_more_exactly_than_the_clean_images(asked, model, images):
    one_step = scan(asked("one-step", reconstruct=("one-step",)), loaded=model)
    members = [image_id(image) for image in images[:MEMBERS]]
    of_members = one_step.scores[one_step.scores["example_id"].isin(members)]
    of_clean = of_members["input"] == CLEAN
    known = of_members[(of_members["level"] == 1.5) & of_clean]  # 0.597 to the clean image
    assert 2 * known["copy_l2"].median() == pytest.approx(0.196, rel=0.1)
    assert known["copy_correlation"].median() == pytest.approx(0.95, abs=0.02)
    assert known["fresh_correlation"].abs().median() < 0.1


def test_a_copy_is_corrupted_by_what_its_own_noise_leaves_of_the_level(asked, images, folder):
    """With a model that answers its input, the distance to the copy is the noise that was added."""

    class Echo(ClosedForm):
        def denoise(self, x, sigma, prompts=()):  # noqa: ARG002
            return x

    echo = replace(unaware(images[:2], folder / "model"), denoiser=Echo(clean(images[:2])))
    result = scan(asked("echo", reconstruct=("one-step",), steps=1), loaded=echo)
    for sigma, table in rows(result, ONE_STEP, COPY).groupby("level"):
        added = np.sqrt(sigma**2 - SIGMA_N**2)
        assert 2 * table["copy_l2"].mean() == pytest.approx(added, rel=0.02)
    for sigma, table in rows(result, ONE_STEP).groupby("level"):
        whole = np.sqrt(sigma**2 + SIGMA_N**2)
        assert 2 * table["copy_l2"].mean() == pytest.approx(whole, rel=0.02)


def test_the_frozen_noise_is_returned_by_the_memorizer_and_by_no_other(finished, innocent):
    test = finished.summary.conduct.noisy.correlation
    assert test.returned
    assert test.p_value < 1e-4
    assert all(level.frozen > 0.2 > abs(level.fresh) for level in test.levels)
    assert {level.images for level in test.levels} == {MEMBERS}
    said = (Path(finished.config.execution.out) / "summary.txt").read_text()
    assert "the model returns the frozen noise of its training copies: p " in said
    assert not innocent.summary.conduct.noisy.correlation.returned
    said = (Path(innocent.config.execution.out) / "summary.txt").read_text()
    assert "no sign that the model returns the frozen noise" in said


def test_a_model_that_never_saw_the_copies_is_not_flagged(innocent):
    assert innocent.summary.flagged.groups == 0
    assert innocent.summary.verdict.outcome is Outcome.NONE


def test_power_is_that_of_the_memorizer_of_the_copies(finished, innocent):
    assert innocent.summary.conduct.power.share == finished.summary.conduct.power.share == 1
    grades = {(one.probe, one.grade) for one in innocent.summary.levels}
    assert (Probe(ODE, COPY), "informative") in grades
    assert finished.summary.conduct.power.share == finished.summary.dataset.share_above


def test_the_columns_of_the_copies_are_in_the_findings(finished):
    findings = finished.findings
    for name in ("copy_similarity", "copy_l2", "copy_correlation"):
        expected = rows(finished, ODE, COPY).groupby("example_id")[name].mean()
        found = findings.set_index("example_id")[name].sort_index()
        np.testing.assert_allclose(found, expected[found.index])


def test_controls_get_copies_by_the_law_of_the_training(asked, finished, images, folder):
    """With every copy drawn, none read, the scores are the same."""
    drawn = noisy(images[:MEMBERS])
    write(folder / "one-part", images[:MEMBERS], drawn, parts=1)
    other = memorizer(images[:MEMBERS], folder / "one-part")
    result = scan(asked("again", power=True), loaded=other)
    assert_same_scores(result.scores, finished.scores)


@pytest.mark.parametrize(("batch_size", "shard_size"), [(1, 80), (7, 13)])
def test_batches_and_shards_do_not_change_it(asked, model, finished, batch_size, shard_size):
    changes = {"batch_size": batch_size, "shard_size": shard_size}
    result = scan(asked(f"batch-{batch_size}", **changes), loaded=model)
    assert_same_scores(result.scores, finished.scores)
    assert_same_findings(result.findings, finished.findings)


def test_finished_parts_are_kept_and_lost_ones_are_made_again(again, finished, model):
    before = written_at(Path(again.execution.out) / "scores")
    (Path(again.execution.out) / "scores" / "part-00001.parquet").unlink()
    second = scan(again, loaded=model)
    after = written_at(Path(again.execution.out) / "scores")
    assert {name for name in before if after[name] != before[name]} == {"part-00001.parquet"}
    assert_same_findings(second.findings, finished.findings)
    assert second.summary.conduct.noisy == finished.summary.conduct.noisy


def test_an_adaptive_scan_flags_the_same(asked, model):
    twice = {"noise": replace(LEVELS, draws=2), "steps": 20}
    result = scan(asked("adaptive", adaptive=True, fraction=0.3, **twice), loaded=model)
    assert result.summary.conduct.effort.screen
    chosen = result.findings[result.findings["flagged"]]
    assert len(chosen) == MEMBERS
    assert result.summary.conduct.noisy.correlation.returned
    first = Probe(result.summary.conduct.effort.screen[0], phase=SCREEN)  # it chose none of them
    members = chosen["example_id"].to_list()
    lowest = result.prepared.levels.sigmas[0] - 0.01
    expected = correlation_test(result.scores, members, first, lowest)
    assert result.summary.conduct.noisy.correlation == expected
    assert min(one.test.p_value for one in result.summary.conduct.noisy.by_input) < 1e-3


def test_other_copies_are_another_question(again, images, model, tmp_path):
    write(tmp_path / "other", images[:MEMBERS], noisy(images[:MEMBERS], Ambient("ambient", 0.5, 7)))
    with pytest.raises(RunDirectoryError, match="the noisy copies changed"):
        scan(again, loaded=replace(model, folder=tmp_path / "other"))


def test_no_verdict_on_a_model_of_noisy_data_rests_on_one_step(asked, model):
    result = scan(asked("step-alone", reconstruct=("one-step",)), loaded=model)
    assert result.summary.flagged.groups == MEMBERS
    assert result.summary.verdict.outcome is Outcome.INCONCLUSIVE
    assert "only one step was run on a model of noisy data" in result.summary.verdict.reasons[0]


def test_levels_not_above_the_noise_of_the_copies_are_left_out_and_named(asked, images, folder):
    training = Ambient("ambient-mixed", SIGMA_N, 0)
    mixed = memorizer(images[:MEMBERS], folder / "model", training)
    noise = Noise(sigmas=(0.3, 0.5, 1.5), draws=1)
    result = scan(asked("mixed", noise=noise, power=True), loaded=mixed)
    assert set(rows(result, ODE)["level"]) == {0.3, 0.5, 1.5}
    assert set(rows(result, ODE, COPY)["level"]) == {1.5}
    assert result.prepared.levels.without_copies == (0.3, 0.5)
    assert [one.sigma for one in result.summary.conduct.noisy.correlation.levels] == [1.5]
    assert result.summary.flagged.groups == MEMBERS


@pytest.mark.parametrize(
    ("choice", "place", "words"),
    [
        ("none", "model", "left out by --noisy-copies none"),
        (None, "bare", "no noisy copies stand beside it"),
        (None, "others", "are of none of the members"),
    ],
)
def test_without_copies_it_is_said_what_to_do(asked, images, folder, choice, place, words):
    (folder / "bare").mkdir(exist_ok=True)
    if place == "others":
        write(folder / "others", images[-5:])
    loaded = memorizer(images[:MEMBERS], folder / place)
    result = scan(asked(f"without-{place}", noisy_copies=choice), loaded=loaded)
    assert words in result.summary.conduct.noisy.advice
    assert probes_in(result.scores) == [Probe(ODE)]
    assert result.summary.conduct.noisy.by_input == ()
    assert result.summary.conduct.noisy.correlation is None
    said = (Path(result.config.execution.out) / "summary.txt").read_text()
    assert "audited against clean images only" in said


def test_without_copies_a_model_of_noisy_data_is_never_innocent(asked, images, folder):
    training = Ambient("ambient", 2.0, 0)
    model = memorizer(images[:MEMBERS], folder / "bare", training)
    blind = {
        "noisy_copies": "none",
        "noise": Noise(sigmas=(4.0,), draws=2),
        "steps": 20,
        "embedder": "sscd-distilled",
        "index": folder / "index-sscd",
        "power": True,
    }
    result = scan(asked("blind", **blind), loaded=model)
    assert result.summary.flagged.min_q > 0.05
    assert result.summary.conduct.power.share > 0.5  # of a memorizer of clean images
    assert result.summary.verdict.outcome is Outcome.INCONCLUSIVE
    said = "among the clean images, and its noisy copies were left out by --noisy-copies none."
    assert said in result.summary.verdict.reasons[0]


def test_copies_are_found_where_they_are_said_to_be(asked, finished, model, folder):
    config = asked("elsewhere", noisy_copies=folder / "model" / "noisy")
    result = scan(config, loaded=replace(model, folder=None))
    assert_same_scores(result.scores, finished.scores)
    with pytest.raises(DataError, match="no noisy copies stand beside it; name theirs"):
        scan(asked("nowhere", noisy_copies="beside"), loaded=replace(model, folder=None))


def test_a_model_of_clean_data_has_no_copies(asked, model, folder):
    config = asked("clean", noisy_copies=folder / "model" / "noisy")
    with pytest.raises(ConfigError, match=r"has no ambient\.json that says so; leave it out"):
        scan(config, loaded=replace(model, ambient=None))


def _missing(images, folder):
    write(folder, images[: MEMBERS - 3])


def _of_controls(images, folder):
    write(folder, images[: MEMBERS + 2])


def _noisier(images, folder):
    write(folder, images[:MEMBERS], clean(images[:MEMBERS]) + 0.6 * torch.randn(MEMBERS, 3, 16, 16))


def _larger(images, folder):
    write(folder, images[:MEMBERS], torch.zeros(MEMBERS, 3, 32, 32))


def _not_finite(images, folder):
    write(folder, images[:MEMBERS], noisy(images[:MEMBERS]) * torch.nan)


def _cut_short(images, folder):
    part = write(folder, images[:MEMBERS]) / "noisy" / "part-00001.safetensors"
    part.write_bytes(part.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_missing, r"3 of 20 members have no noisy copy in .* \(the first: 0"),
        (_of_controls, "2 controls have a noisy copy .* so the model was trained on them"),
        (_noisier, r"differ from the members' images by 0\.[56].*, expected noise of sigma_n 0\.5"),
        (_larger, "are 3x32x32, expected 3x16x16"),
        (_not_finite, "is not finite; copy the file again"),
        (_cut_short, "is not a whole .safetensors file of noisy copies"),
    ],
)
def test_copies_that_are_not_the_members_are_refused(asked, model, images, tmp_path, make, words):
    make(images, tmp_path / "model")
    config = replace(asked("refused"), out=str(tmp_path / "run"))
    with pytest.raises(DataError, match=words) as error:
        scan(config, loaded=replace(model, folder=tmp_path / "model"))
    assert error.value.exit_code == 2


def test_an_empty_folder_of_copies_is_refused(asked, model, tmp_path):
    config = replace(asked("x", noisy_copies=tmp_path), out=str(tmp_path / "run"))
    with pytest.raises(DataError, match=r"holds no noisy copies; expected part-\*\.safetensors"):
        scan(config, loaded=model)


@pytest.mark.long
def test_a_network_that_memorized_copies_of_other_images_is_not_taken_for_misread(tmp_path):
    tiles = split_tiles()
    members = save(tmp_path / "members", [tile.image for tile in tiles["others"][:20]])
    controls = save(tmp_path / "controls", [tile.image for tile in tiles["controls"][:40]])
    noise = Noise(sigmas=(2.0,), draws=1)
    options = {"controls": controls, "power": False, "noise": noise}
    config = ask(members, tmp_path / "run", model=MODELS / "ambient", **options)
    result = scan(config)
    assert result.prepared.copies is None  # those that stand beside it are of other images
    assert result.prepared.self_check.best_log_ratio > 0
    assert not result.findings["flagged"].any()
    unrelated = {"reference": str(MODELS / "ambient"), "reference_trained_on": "unrelated"}
    memorizer_of = f"closed-form:{members}"
    beside = replace(config, model=memorizer_of, out=str(tmp_path / "by"), **unrelated)
    compared = scan(beside)
    assert compared.prepared.reference.self_check.best_log_ratio > 0
    shutil.copytree(MODELS / "ambient", tmp_path / "torn", copy_function=shutil.copyfile)
    part = tmp_path / "torn/noisy/part-00000.safetensors"
    part.write_bytes(part.read_bytes()[:1000])
    torn = replace(beside, reference=str(tmp_path / "torn"), out=str(tmp_path / "by torn"))
    with pytest.raises(DataError, match=r"the reference .*torn: .* is not a whole"):
        scan(torn)
    with pytest.raises(MisreadModelError, match="trained on other images and overfit"):
        scan(replace(config, noisy_copies="none", out=str(tmp_path / "without")))

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from noisy_models import clean, memorizer, write
from runs import ask, assert_same_findings, assert_same_scores, photographed, save, written_at

from memaudit.audit import scan
from memaudit.audit.plan import estimate
from memaudit.audit.reference import SEEN
from memaudit.config import Noise
from memaudit.errors import ConfigError, ModelError, RunDirectoryError
from memaudit.models.closed_form import ClosedForm
from memaudit.models.loaded import Loaded
from memaudit.models.provenance import Provenance
from memaudit.records import CLEAN, COPY, SCREEN
from memaudit.statistics.probes import Probe
from memaudit.statistics.verdict import Outcome

MEMBERS, CONTROLS, OTHERS = 20, 60, 60
NOISE = Noise(sigmas=(0.5, 2.0), draws=2)


@pytest.fixture(scope="module")
def images():
    """20 members, 60 controls and 60 others, no two of them alike."""
    return photographed()[: MEMBERS + CONTROLS + OTHERS]


@pytest.fixture(scope="module")
def folder(images, tmp_path_factory):
    """Members, controls and others, and mixtures of them."""
    folder = tmp_path_factory.mktemp("reference")
    members, rest = images[:MEMBERS], images[MEMBERS:]
    controls, others = rest[:CONTROLS], rest[CONTROLS:]
    save(folder / "members", members)
    save(folder / "controls", controls)
    save(folder / "others", others)
    save(folder / "copies-of-controls", controls)
    save(folder / "some-controls", [*others, *controls[:6]])
    save(folder / "both-alike", [*others, *members[:5], *controls[:15]])
    save(folder / "one-control", [*others, controls[0]])
    return folder


@pytest.fixture(scope="module")
def asked(folder):
    """How to ask for a scan of the perfect memorizer of the members, beside one of the others."""

    def ask_for(out, reference="others", trained_on="others", **changes):
        said = trained_on if trained_on in (None, "unrelated") else str(folder / trained_on)
        fields = {
            "controls": folder / "controls",
            "index": folder / "index",
            "noise": NOISE,
            "shard_size": 30,
            "power": False,
            "reference": reference and f"closed-form:{folder / reference}",
            "reference_trained_on": said,
        }
        return ask(folder / "members", folder / out, **{**fields, **changes})

    return ask_for


@pytest.fixture(scope="module")
def finished(asked):
    return scan(asked("finished", power=True))


@pytest.fixture(scope="module")
def alone(asked):
    return scan(asked("alone", reference=None, trained_on=None))


@pytest.fixture
def again(finished, tmp_path):
    shutil.copytree(finished.config.execution.out, tmp_path / "run")
    return replace(finished.config, out=str(tmp_path / "run"))


def test_what_the_target_memorized_stands_out_of_an_unrelated_reference(finished):
    flagged = finished.findings[finished.findings["flagged"]]
    assert set(flagged["split"]) == {"member"}
    assert len(flagged) > MEMBERS / 2
    assert finished.summary.columns == ("margin", "tile_l2", "l2_ratio", "similarity_gain")
    assert finished.summary.verdict.outcome is Outcome.EVIDENCE
    use = finished.summary.conduct.reference
    assert (use.images, use.members, use.controls) == (OTHERS, 0, 0)
    said = (Path(finished.config.execution.out) / "summary.txt").read_text()
    assert "it saw 0 members and 0 controls, left out, of 60 images" in said


def test_both_models_get_the_same_corrupted_images(asked, finished, alone):
    """The reference's similarities are those of a scan of the reference itself."""
    model = asked("x").attack.reference
    itself = scan(asked("itself", reference=None, trained_on=None, model=model))
    keys = ["example_id", "level", "draw"]
    pair = finished.scores.set_index(keys).sort_index()
    theirs = itself.scores.set_index(keys).sort_index()["own_similarity"]
    np.testing.assert_allclose(pair["reference_similarity"], theirs, atol=1e-5)
    gain = pair["own_similarity"] - pair["reference_similarity"]
    np.testing.assert_allclose(pair["similarity_gain"], gain, atol=1e-5)
    assert_same_scores(finished.scores[alone.scores.columns], alone.scores)


def test_a_target_that_is_its_reference_is_refused(asked, folder):
    with pytest.raises(ConfigError, match="is the model under audit itself"):
        scan(asked("same", model=f"closed-form:{folder / 'others'}"))


def test_a_target_that_answers_as_its_reference_differs_nowhere(asked, images):
    twin = Loaded(ClosedForm(clean(images[MEMBERS + CONTROLS :])), Provenance(model="my own"))
    result = scan(asked("twin", power=True, batch_size=7), loaded=twin)
    assert (result.scores["similarity_gain"] == 0).all()
    assert result.summary.flagged.groups == 0
    assert result.summary.verdict.outcome is Outcome.NONE


def test_power_is_measured_by_the_same_difference(finished):
    power = finished.summary.conduct.power
    assert power.share == finished.summary.dataset.share_above >= 0.5


@pytest.mark.parametrize(
    ("reference", "trained_on", "words"),
    [
        ("others", "controls", "was trained on the controls"),
        ("controls", "others", "was trained on the controls"),
        ("controls", "unrelated", "was trained on the controls"),
        ("copies-of-controls", "unrelated", "on 0 of 20 members and 60 of 60 controls"),
        ("others", "copies-of-controls", "on 0 of 20 members and 60 of 60 controls"),
        ("others", "members", "on 20 of 20 members and 0 of 60 controls"),
    ],
)
def test_a_reference_that_saw_a_whole_side_is_refused(
    asked, tmp_path, reference, trained_on, words
):
    config = replace(asked("x", reference, trained_on), out=str(tmp_path / "run"))
    with pytest.raises(ConfigError, match=words) as error:
        scan(config)
    assert error.value.exit_code == 2


@pytest.mark.parametrize(
    ("trained_on", "saw"),
    [
        ("both-alike", (5, 15)),
        ("one-control", (0, 1)),
        ("some-controls", (0, 6)),
        ("unrelated", (0, 0)),
    ],
)
def test_what_a_reference_saw_is_named_and_left_out_of_both_sides(asked, trained_on, saw):
    result = scan(asked(f"saw-{trained_on}", trained_on=trained_on))
    counts = result.summary.counts
    assert (counts.member_groups, counts.control_groups) == (20 - saw[0], 60 - saw[1])
    assert counts.left_out == sum(saw)
    out = result.findings[result.findings["reason"] == SEEN]
    assert len(out) == sum(saw)
    assert out["p_value"].isna().all()
    assert (
        result.summary.conduct.reference.members,
        result.summary.conduct.reference.controls,
    ) == saw
    assert result.prepared.reference.use.trained_on == result.config.attack.reference_trained_on
    said = (Path(result.config.execution.out) / "summary.txt").read_text()
    assert f"it saw {saw[0]} members and {saw[1]} controls, left out" in said


@pytest.mark.parametrize(("batch_size", "shard_size"), [(1, 80), (7, 13)])
def test_batches_and_shards_change_nothing(asked, finished, batch_size, shard_size):
    changes = {"batch_size": batch_size, "shard_size": shard_size}
    result = scan(asked(f"batch-{batch_size}", **changes))
    assert_same_scores(result.scores, finished.scores)
    assert_same_findings(result.findings, finished.findings)


def test_finished_parts_are_kept_and_lost_ones_are_made_again(again, finished):
    before = written_at(Path(again.execution.out) / "scores")
    (Path(again.execution.out) / "scores" / "part-00001.parquet").unlink()
    second = scan(again)
    after = written_at(Path(again.execution.out) / "scores")
    assert {name for name in before if after[name] != before[name]} == {"part-00001.parquet"}
    assert_same_findings(second.findings, finished.findings)


def test_another_reference_is_another_question(again, folder):
    other = replace(again, reference=f"closed-form:{folder / 'both-alike'}")
    with pytest.raises(RunDirectoryError, match=r"--reference was .*, now .*both-alike"):
        scan(other)


def test_the_first_pass_of_an_adaptive_scan_takes_the_same_difference(asked):
    result = scan(asked("adaptive", steps=40, adaptive=True, fraction=0.1))
    assert result.summary.conduct.effort.screen
    chosen = result.findings[result.findings["stage"] == "full"]
    assert (chosen["split"] == "member").mean() > 0.6
    screened = Probe(result.summary.conduct.effort.screen[0], phase=SCREEN).rows(result.scores)
    assert screened["similarity_gain"].notna().all()


def test_levels_outside_the_range_of_the_reference_are_skipped(asked, folder, unet):
    noise = Noise(sigmas=(0.5, 9000.0), draws=1)
    config = asked("range", noise=noise, self_check=False, steps=2)
    config = replace(config, reference=str(unet))
    result = scan(config)
    assert result.prepared.levels.skipped == (9000.0,)
    assert set(result.scores["level"]) == {0.5}
    high = replace(config, noise=Noise(sigmas=(9000.0,)), out=str(folder / "range-2"))
    with pytest.raises(ConfigError, match="lies in the range of the reference"):
        scan(high)


def test_a_reference_is_recorded_by_its_weights(asked, unet):
    config = replace(asked("weights", self_check=False, steps=2), reference=str(unet))
    result = scan(config)
    [sha] = result.prepared.reference.model.weights.values()
    assert len(sha) == 64


def test_a_misread_reference_is_refused(asked, unet, tmp_path):
    config = replace(asked("x"), reference=str(unet), out=str(tmp_path / "run"))
    with pytest.raises(ModelError, match=r"the reference .*: unsupported or misread model"):
        scan(config)


def test_a_reference_of_another_size_is_refused(asked, images, unet, tmp_path):
    model = ClosedForm(torch.nn.functional.interpolate(clean(images[:4]), 32))
    config = replace(asked("x"), reference=str(unet), out=str(tmp_path / "run"))
    with pytest.raises(ModelError, match="of 3x16x16, the model under audit of 3x32x32; both"):
        scan(config, loaded=Loaded(model, Provenance()))


def test_beside_noisy_copies_the_clean_images_are_scored_against_the_reference(
    asked, images, folder
):
    model = memorizer(images[:MEMBERS], write(folder / "model", images[:MEMBERS]))
    noise = Noise(sigmas=(0.8, 2.0), draws=1)
    result = scan(asked("with-copies", noise=noise, power=True), loaded=model)
    by_input = [(one.input, one.columns) for one in result.summary.conduct.noisy.by_input]
    pooled = ("margin", "tile_l2", "l2_ratio", "similarity_gain")
    assert by_input == [(CLEAN, pooled), (COPY, ("copy_correlation",))]
    of_copies = result.scores["input"] == COPY
    assert result.scores.loc[of_copies, "similarity_gain"].isna().all()
    assert result.scores.loc[~of_copies, "similarity_gain"].notna().all()
    assert result.summary.flagged.groups == MEMBERS
    assert result.summary.conduct.power.share >= 0.5


def test_a_reference_goes_with_a_word_of_what_it_was_trained_on():
    for given in ({"reference": "m"}, {"reference_trained_on": "unrelated"}):
        with pytest.raises(ConfigError, match="--reference and --reference-trained-on go together"):
            ask(Path("data"), Path("run"), model="m", **given)


def test_a_plan_counts_a_reference_twice(asked):
    one = estimate(asked("plan", reference=None, trained_on=None))
    two = estimate(asked("plan"))
    assert two.evaluations == two.in_full == 2 * one.evaluations
    assert two.embeddings - one.embeddings == (MEMBERS + CONTROLS) * 2 * 2

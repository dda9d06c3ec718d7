import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from runs import ask, assert_same_findings, assert_same_scores, cut, save, written_at
from skimage import data as photographs

from memaudit.attacks.reconstruction import ODE, ONE_STEP, SAMPLE
from memaudit.audit import scan
from memaudit.config import Corruption
from memaudit.errors import RunDirectoryError
from memaudit.models.closed_form import ClosedForm
from memaudit.models.codec import encode_pixels
from memaudit.models.loaded import Loaded
from memaudit.models.provenance import Provenance
from memaudit.records import FULL, SCREEN
from memaudit.statistics.adaptive import screening_order
from memaudit.statistics.combine import combine
from memaudit.statistics.probes import Probe, probes_in
from memaudit.statistics.verdict import Outcome

MEMBERS, IMAGES, SAMPLED, PROMOTED = 24, 134, 64, 34  # a quarter of 134, rounded up


@dataclass(frozen=True, eq=False)
class Counting(ClosedForm):
    """The perfect memorizer, which counts the images that it denoises."""

    denoised: list[int] = field(default_factory=list)

    def denoise(self, x, sigma, prompts=()):
        self.denoised.append(len(x))
        return super().denoise(x, sigma, prompts)


@pytest.fixture(scope="module")
def images():
    """24 members, 110 controls and 30 others, no two of them alike."""
    three = photographs.astronaut(), photographs.coffee(), photographs.chelsea()
    return cut(*three, side=48)[: IMAGES + 30]


@pytest.fixture(scope="module")
def asked(images, tmp_path_factory):
    """How to ask for an adaptive scan of the perfect memorizer of the members."""
    folder = tmp_path_factory.mktemp("adaptive")
    members = save(folder / "members", images[:MEMBERS])
    fields = {
        "controls": save(folder / "controls", images[MEMBERS:IMAGES]),
        "index": folder / "index",
        "corruption": Corruption(sigmas=(0.5, 2.0), draws=1),
        "steps": 8,
        "score": ("margin",),
        "shard_size": 20,
        "power": False,
        "adaptive": True,
        "fraction": 0.25,
    }

    def ask_for(out, **changes):
        return ask(members, folder / out, **{**fields, **changes})

    return ask_for


@pytest.fixture(scope="module")
def unrelated(asked, images):
    """How to ask for an adaptive scan of a model that saw neither side, at one strong noise."""
    others = save(Path(asked("others").execution.out), images[IMAGES:])

    def ask_for(out, **changes):
        return asked(out, **{"model": f"closed-form:{others}", **changes})

    return ask_for


@pytest.fixture(scope="module")
def finished(asked):
    return scan(asked("finished"))


@pytest.fixture(scope="module")
def in_full(asked):
    return scan(asked("in-full", adaptive=False))


@pytest.fixture
def again(finished, tmp_path):
    """The question of the finished scan, and a copy of its run."""
    shutil.copytree(finished.config.execution.out, tmp_path / "run")
    return replace(finished.config, out=str(tmp_path / "run"))


def parts(result, work):
    """The scores of each part of a folder of the run."""
    files = sorted((Path(result.config.execution.out) / work).iterdir())
    return [pd.read_parquet(file) for file in files]


def rows_of(result, work):
    return pd.concat(parts(result, work), ignore_index=True)


def order_of(result, rows):
    return screening_order(rows, result.prepared.primary)


def ids(rows):
    return set(rows["example_id"])


def flagged(result):
    rows = result.findings[result.findings["flagged"]]
    return sorted(rows["split"] + "/" + rows["source"])


def test_an_adaptive_scan_flags_what_the_full_scan_flags(finished, in_full):
    assert flagged(finished) == flagged(in_full)
    assert flagged(finished) == [f"member/{k:03d}.png" for k in range(MEMBERS)]
    assert finished.summary.flagged.screened == 0
    assert finished.summary.verdict.outcome is Outcome.EVIDENCE


def test_sample_first_pass_and_full_scan_stand_in_folders_of_their_own(finished):
    everyone = sorted(finished.findings["example_id"])
    sample, first, in_full = (rows_of(finished, work) for work in ("sample", "screen", "scores"))
    assert ids(sample) == set(everyone[:SAMPLED])
    assert probes_in(sample) == [
        Probe(ODE),
        Probe(ODE, phase=SCREEN),
        Probe(ONE_STEP, phase=SCREEN),
    ]
    assert ids(first) == set(everyone[SAMPLED:])
    assert probes_in(first) == [Probe(ONE_STEP, phase=SCREEN)]
    both = pd.concat([Probe(ONE_STEP, phase=SCREEN).rows(sample), first])
    promoted = set(order_of(finished, both)[:PROMOTED])
    assert ids(in_full) == promoted - ids(sample)
    assert probes_in(in_full) == [Probe(ODE)]
    sizes = [[len(ids(part)) for part in parts(finished, work)] for work in ("sample", "screen")]
    assert sizes == [[20, 20, 20, 4], [20, 20, 20, 10]]


def test_the_stage_of_an_image_is_what_it_was_promoted_to(finished):
    findings = finished.findings.set_index("example_id")
    scores = finished.scores
    order = order_of(finished, Probe(ONE_STEP, phase=SCREEN).rows(scores))
    in_full = ids(Probe(ODE).rows(scores))
    left = next(k for k, example_id in enumerate(order) if example_id not in in_full)
    assert PROMOTED <= left < IMAGES
    assert (findings.loc[order[:left], "stage"] == "full").all()
    assert (findings.loc[order[left:], "stage"] == "screen").all()


def test_every_promoted_image_scores_above_every_other(finished):
    findings = finished.findings.set_index("example_id")
    by_stage = findings.groupby("stage")
    scores = by_stage["raw_score"]
    assert scores.min()["full"] > scores.max()["screen"]
    ode = Probe(ODE).rows(finished.scores)
    promoted = by_stage.get_group("full")["raw_score"].sort_index()
    in_full = ode[ode["example_id"].isin(promoted.index)]
    expected = combine(in_full, finished.prepared.primary)
    assert expected.index.equals(promoted.index)
    np.testing.assert_allclose(np.ptp(promoted), np.ptp(expected), atol=2e-5)
    assert promoted.sort_values().index.equals(expected.sort_values().index)


def test_the_effort_is_counted_right(finished, in_full):
    effort = finished.summary.conduct.effort
    sample = SAMPLED * (2 * 8 + 2 * 1 + 1 * 3)  # in full, one step, three at one of two levels
    first_pass = (IMAGES - SAMPLED) * 2
    full = len(ids(rows_of(finished, "scores"))) * 2 * 8
    assert effort.evaluations == sample + first_pass + full
    assert effort.in_full == IMAGES * 2 * 8 == in_full.summary.conduct.effort.evaluations
    assert effort.evaluations < effort.in_full
    assert effort.saved == effort.in_full / effort.evaluations
    assert (effort.screen, effort.sampled) == (ONE_STEP, SAMPLED)
    assert PROMOTED <= effort.promoted == (finished.findings["stage"] == "full").sum()
    assert effort.reason == ""
    assert in_full.summary.conduct.effort.saved == 1


def test_several_reconstructions_are_each_run_on_the_promoted(asked, images, in_full):
    pixels = torch.from_numpy(np.stack(images[:MEMBERS])).permute(0, 3, 1, 2)
    model = Counting(encode_pixels(pixels, 3))
    config = asked("several", model="my own", reconstruct=("one-step", "ode", "sample"))
    result = scan(config, loaded=Loaded(model, Provenance(model="my own")))
    full = rows_of(result, "scores")
    cells = full.groupby("example_id")["attack"].value_counts().unstack()
    assert set(full["phase"]) == {FULL}
    assert set(cells.columns) == {ODE, ONE_STEP, SAMPLE}
    assert (cells == 2).all(axis=None)
    assert result.summary.attack == ODE
    probes = {level.probe for level in result.summary.levels}
    assert probes == {*map(Probe, (ODE, ONE_STEP, SAMPLE)), Probe(ONE_STEP, phase=SCREEN)}
    assert flagged(result) == flagged(in_full)
    assert result.summary.conduct.effort.evaluations == sum(model.denoised)


def test_a_finished_adaptive_scan_called_again_scores_nothing_and_finds_the_same(again, finished):
    works = [Path(again.execution.out) / work for work in ("sample", "screen", "scores")]
    before = [written_at(work) for work in works]
    second = scan(again)
    assert [written_at(work) for work in works] == before
    assert second.findings.equals(finished.findings)
    assert second.summary == finished.summary


def test_an_adaptive_scan_that_lost_a_part_of_each_folder_makes_only_those_again(again, finished):
    works = ("sample", "screen", "scores")
    lost = {f"{work}/part-00000.parquet" for work in works}
    before = {
        name: at for name, at in written_at(Path(again.execution.out)).items() if "/part-" in name
    }
    for name in lost:
        (Path(again.execution.out) / name).unlink()
    second = scan(again)
    after = written_at(Path(again.execution.out))
    assert {name for name in before if after[name] != before[name]} == lost
    assert_same_findings(second.findings, finished.findings)
    assert_same_scores(second.scores, finished.scores)
    assert second.summary.conduct.effort == finished.summary.conduct.effort


@pytest.mark.parametrize(("batch_size", "shard_size"), [(1, 134), (7, 13)])
def test_batches_and_shards_do_not_change_an_adaptive_scan(asked, finished, batch_size, shard_size):
    out = f"batch-{batch_size}-shard-{shard_size}"
    result = scan(asked(out, batch_size=batch_size, shard_size=shard_size))
    assert len(parts(result, "screen")) == -(-(IMAGES - SAMPLED) // shard_size)
    assert_same_findings(result.findings, finished.findings)
    assert_same_scores(result.scores, finished.scores)


def test_flagged_images_that_were_not_promoted_are_counted(asked):
    result = scan(asked("few-promoted", fraction=0.05))
    left = result.findings[result.findings["flagged"] & (result.findings["stage"] == "screen")]
    assert len(left) > 0
    assert 7 <= result.summary.conduct.effort.promoted == (result.findings["stage"] == "full").sum()
    assert result.summary.flagged.screened == len(left)
    said = (Path(result.config.execution.out) / "summary.txt").read_text()
    assert f"{len(left)} flagged images were not promoted" in said


def test_a_promoted_image_of_the_sample_is_not_scanned_twice(asked, finished, tmp_path):
    first = min(finished.findings["example_id"])
    row = finished.findings.set_index("example_id").loc[first]
    source = Path(asked("").data.dataset if row["split"] == "member" else asked("").data.controls)
    (tmp_path / "one").mkdir()
    shutil.copy(source / row["source"], tmp_path / "one")
    config = asked("one", model=f"closed-form:{tmp_path / 'one'}", fraction=0.001)
    result = scan(config)
    assert result.summary.conduct.effort.promoted == (result.findings["stage"] == "full").sum()
    assert not (Path(config.execution.out) / "scores").exists()
    top = result.findings.sort_values("score").iloc[-1]
    assert (top["example_id"], top["stage"]) == (first, "full")


def test_a_pool_too_small_for_a_first_pass_is_scanned_in_full(asked, in_full):
    result = scan(asked("small", fraction=70 / IMAGES))  # with 64 sampled, none is left out
    assert result.summary.conduct.effort == replace(
        in_full.summary.conduct.effort, reason="a first pass over so few images would save nothing"
    )
    assert not (Path(result.config.execution.out) / "screen").exists()
    assert (result.findings["stage"] == "full").all()
    assert_same_findings(result.findings, in_full.findings)
    assert_same_scores(result.scores, in_full.scores)


def test_where_no_first_pass_agrees_all_is_scanned_in_full(unrelated):
    noise = {"corruption": Corruption(sigmas=(20.0,), draws=2), "reconstruct": ("sample",)}
    result = scan(unrelated("disagreeing", **noise))
    effort = result.summary.conduct.effort
    assert effort.reason.startswith("no first pass agrees with the full score on a sample")
    assert (effort.screen, effort.agreement, effort.promoted) == ("", None, None)
    assert effort.evaluations == IMAGES * 2 * 8 + SAMPLED * (1 + 3)
    assert not (Path(result.config.execution.out) / "screen").exists()
    expected = scan(unrelated("disagreeing-in-full", adaptive=False, **noise))
    assert_same_findings(result.findings, expected.findings)
    assert_same_scores(result.scores, expected.scores)
    assert result.summary.levels == expected.summary.levels


def test_where_one_step_does_not_agree_few_steps_are_the_first_pass(unrelated):
    noise = {"corruption": Corruption(sigmas=(100.0,), draws=2), "steps": 3, "fraction": 0.05}
    assert scan(unrelated("few", **noise)).summary.conduct.effort.screen == ODE


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"adaptive": False}, "adaptive was True, now False"),
        ({"fraction": 0.3}, "fraction was 0.25, now 0.3"),
    ],
)
def test_another_extent_is_another_question(again, change, named):
    with pytest.raises(RunDirectoryError, match=named):
        scan(replace(again, **change))

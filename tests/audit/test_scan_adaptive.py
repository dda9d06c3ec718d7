import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from runs import ask, assert_same_findings, assert_same_scores, photographed, save, written_at

from memaudit.attacks.reconstruction import ODE, ONE_STEP, SAMPLE
from memaudit.audit import scan
from memaudit.config import MEMBERSHIP, Noise
from memaudit.errors import RunDirectoryError
from memaudit.models.closed_form import ClosedForm
from memaudit.models.codec import encode_pixels
from memaudit.models.loaded import Loaded
from memaudit.models.provenance import Provenance
from memaudit.records import FULL, SCREEN
from memaudit.statistics.adaptive import outstanding
from memaudit.statistics.combine import combine
from memaudit.statistics.probes import Probe, probes_in
from memaudit.statistics.verdict import Outcome

MEMBERS, IMAGES, PROMOTED, SAMPLED = 24, 134, 34, 5  # a quarter of 134, a thirtieth
POSITIONS = (np.asarray, np.flipud, np.fliplr, lambda image: np.rot90(image, 2))
SCORE = ("margin",)
FIRST = {
    "none": [Probe(ODE, phase=SCREEN)],
    MEMBERSHIP: [Probe(MEMBERSHIP, phase=SCREEN), Probe(ONE_STEP, phase=SCREEN)],
}


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
    return photographed()[: IMAGES + 30]


@pytest.fixture(scope="module")
def asked(images, tmp_path_factory):
    """How to ask for an adaptive scan of the perfect memorizer of the members."""
    folder = tmp_path_factory.mktemp("adaptive")
    members = save(folder / "members", images[:MEMBERS])
    fields = {
        "controls": save(folder / "controls", images[MEMBERS:IMAGES]),
        "index": folder / "index",
        "noise": Noise(sigmas=(0.5, 2.0), draws=1),
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


@pytest.fixture(scope="module", params=FIRST)
def attack(request):
    """What membership rests on, which decides the first pass."""
    return request.param


@pytest.fixture(scope="module")
def finished(asked, attack):
    return scan(asked(f"finished-{attack}", attacks=(attack,)))


@pytest.fixture(scope="module")
def in_full(asked, attack):
    return scan(asked(f"in-full-{attack}", attacks=(attack,), adaptive=False))


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


def promoted_of(result, fraction=0.25):
    """What the first pass promotes, worked out from its rows."""
    rows = result.scores[result.scores["phase"] == SCREEN]
    return outstanding(rows, result.prepared.claims, fraction)


def in_full_of(result):
    """Those, and one image in thirty at random."""
    return {*promoted_of(result), *sorted(ids(result.scores))[:SAMPLED]}


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


def test_first_pass_and_full_scan_stand_in_folders_of_their_own(finished, attack):
    everyone = sorted(finished.findings["example_id"])
    first, in_full = (rows_of(finished, work) for work in ("screen", "scores"))
    assert sorted(ids(first)) == everyone
    assert probes_in(first) == FIRST[attack]
    assert first["draw"].max() == 0
    assert first.groupby("attack")["level"].nunique().max() == 1
    assert ids(in_full) == in_full_of(finished)
    assert {probe.attack for probe in probes_in(in_full)} == {ODE, attack} - {"none"}
    assert set(Probe(ODE).rows(in_full)["level"]) == {0.5}
    sizes = [[len(ids(part)) for part in parts(finished, work)] for work in ("screen", "scores")]
    assert sizes == [[20] * 6 + [14], [20, len(ids(in_full)) - 20]]


def test_the_stage_of_an_image_is_what_it_was_promoted_to(finished):
    findings = finished.findings.set_index("example_id")
    chosen = promoted_of(finished)
    assert len(chosen) == PROMOTED
    assert (findings.loc[chosen, "stage"] == "full").all()
    order, in_full = promoted_of(finished, 1.0), in_full_of(finished)
    left = next(k for k, example_id in enumerate(order) if example_id not in in_full)
    assert PROMOTED <= left < IMAGES
    assert (findings.drop(order[:left])["stage"] == "screen").all()


def test_images_at_random_show_how_those_come_back_that_do_not_stand_out(asked, attack):
    result = scan(asked(f"yardstick-{attack}", attacks=(attack,), fraction=0.01, score=SCORE))
    others = set(sorted(ids(result.scores))[:SAMPLED]) - set(promoted_of(result, 0.01))
    controls = result.findings.set_index("example_id")["split"].eq("control")
    shown = ids(Probe(ODE).rows(result.scores))
    assert others <= shown
    assert controls[list(others)].sum() >= 2
    level = next(one for one in result.summary.levels if one.probe == Probe(ODE))
    assert level.controls >= controls[list(others)].sum()
    assert result.findings.set_index("example_id").loc[list(others), "stage"].eq("screen").all()


def test_every_promoted_image_scores_above_every_other(finished):
    findings = finished.findings.set_index("example_id")
    by_stage = findings.groupby("stage")
    for score in ("raw_score", "reproduction_score"):
        assert by_stage[score].min()["full"] > by_stage[score].max()["screen"]
    claim = finished.prepared.claims[-1]
    rows = Probe(claim.attack).rows(finished.scores)
    rows = rows[rows["example_id"].isin(findings.index[findings["stage"] == "full"])]
    promoted = by_stage.get_group("full")["raw_score"].sort_index()
    expected = combine(rows, claim)
    assert expected.index.equals(promoted.index)
    np.testing.assert_allclose(np.ptp(promoted), np.ptp(expected), atol=2e-5)
    assert promoted.sort_values().index.equals(expected.sort_values().index)


def test_the_effort_is_counted_right(finished, in_full, attack):
    effort = finished.summary.conduct.effort
    membership = 0 if attack == "none" else 3 * 2 * 2  # three images, two levels, two draws
    first = 3 if attack == "none" else 3 + 1  # of an image and its two mirror images, and one step
    in_all = len(in_full_of(finished))
    assert PROMOTED <= in_all <= PROMOTED + SAMPLED
    assert effort.evaluations == IMAGES * first + in_all * (3 + membership)
    assert effort.in_full == IMAGES * (2 * 8 + membership)
    assert effort.in_full == in_full.summary.conduct.effort.evaluations
    assert effort.saved == effort.in_full / effort.evaluations
    assert (effort.screen, effort.reason) == (tuple(one.attack for one in FIRST[attack]), "")
    assert effort.promoted == (finished.findings["stage"] == "full").sum() >= PROMOTED
    assert in_full.summary.conduct.effort.saved == 1


def test_several_reconstructions_are_each_run_on_the_promoted(asked, images):
    pixels = torch.from_numpy(np.stack(images[:MEMBERS])).permute(0, 3, 1, 2)
    model = Counting(encode_pixels(pixels, 3))
    config = asked("several", model="my own", reconstruct=("one-step", "ode", "sample"))
    result = scan(config, loaded=Loaded(model, Provenance(model="my own")))
    full = rows_of(result, "scores")
    cells = full.groupby("example_id")["attack"].value_counts().unstack()
    assert set(full["phase"]) == {FULL}
    assert set(cells.columns) == {ODE, ONE_STEP, SAMPLE}
    assert (cells == 1).all(axis=None)
    assert result.summary.attack == ODE
    probes = {level.probe for level in result.summary.levels}
    assert probes == {*map(Probe, (ODE, ONE_STEP, SAMPLE)), *FIRST["none"]}
    assert flagged(result) == [f"member/{k:03d}.png" for k in range(MEMBERS)]
    assert result.summary.conduct.effort.evaluations == sum(model.denoised)


def test_a_finished_adaptive_scan_called_again_scores_nothing_and_finds_the_same(again, finished):
    works = [Path(again.execution.out) / work for work in ("screen", "scores")]
    before = [written_at(work) for work in works]
    second = scan(again)
    assert [written_at(work) for work in works] == before
    assert second.findings.equals(finished.findings)
    assert second.summary == finished.summary


def test_an_adaptive_scan_that_lost_a_part_of_each_folder_makes_only_those_again(again, finished):
    works = ("screen", "scores")
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
def test_batches_and_shards_do_not_change_an_adaptive_scan(
    asked, attack, finished, batch_size, shard_size
):
    options = {"batch_size": batch_size, "shard_size": shard_size, "attacks": (attack,)}
    result = scan(asked(f"{attack}-batch-{batch_size}-shard-{shard_size}", **options))
    assert len(parts(result, "screen")) == -(-IMAGES // shard_size)
    assert_same_findings(result.findings, finished.findings)
    assert_same_scores(result.scores, finished.scores)


def test_what_stands_out_is_promoted_even_if_it_is_more_than_the_fraction(asked):
    result = scan(asked("little", fraction=0.01, attacks=(MEMBERSHIP,)))
    assert MEMBERS <= result.summary.conduct.effort.promoted < MEMBERS + SAMPLED
    assert flagged(result) == [f"member/{k:03d}.png" for k in range(MEMBERS)]
    assert result.summary.flagged.screened == 0


def test_flagged_images_that_were_not_reconstructed_are_counted(asked):
    result = scan(asked("few-promoted", fraction=0.05))
    left = result.findings[result.findings["flagged"] & (result.findings["stage"] == "screen")]
    assert len(left) > 0
    assert result.summary.flagged.screened == len(left)
    said = (Path(result.config.execution.out) / "summary.txt").read_text()
    assert f"{len(left)} flagged images do not rank among them" in said


def test_a_pool_too_small_for_a_first_pass_is_scanned_in_full(asked, attack):
    noise = Noise(sigmas=(0.5,), draws=1, weak_sigmas=(0.1,), weak_draws=1)
    options = {"steps": 1, "attacks": (attack,), "noise": noise}
    result = scan(asked(f"{attack}-small", fraction=0.99, **options))
    effort = result.summary.conduct.effort
    assert effort.reason == "a first pass over so few images would save nothing"
    assert effort.evaluations == effort.in_full
    assert not (Path(result.config.execution.out) / "screen").exists()
    assert (result.findings["stage"] == "full").all()
    expected = scan(asked(f"{attack}-small-in-full", adaptive=False, **options))
    assert_same_findings(result.findings, expected.findings)
    assert_same_scores(result.scores, expected.scores)


def test_where_mirror_images_are_known_alike_all_is_scanned_in_full(asked, images, tmp_path):
    """The model saw the members in all four positions, as after training with flips and turns."""
    turned = [np.ascontiguousarray(of(image)) for image in images[:MEMBERS] for of in POSITIONS]
    options = {"model": f"closed-form:{save(tmp_path / 'turned', turned)}", "shard_size": 50}
    both = [
        scan(asked(f"turned-{adaptive}", adaptive=adaptive, attacks=(MEMBERSHIP,), **options))
        for adaptive in (True, False)
    ]
    effort = both[0].summary.conduct.effort
    assert effort.reason.startswith(
        "nothing shows that the model knows pictures better than their mirror images"
    )
    assert (effort.screen, effort.promoted) == ((), None)
    assert effort.evaluations == effort.in_full + 4 * IMAGES
    assert both[0].findings["stage"].unique() == "full"
    assert_same_findings(both[0].findings, both[1].findings)
    assert_same_scores(both[0].scores, both[1].scores)
    assert both[0].summary.levels == both[1].summary.levels
    assert both[0].summary.verdict.outcome is Outcome.EVIDENCE


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"adaptive": False}, "was --adaptive, now --full"),
        ({"fraction": 0.3}, "--fraction was 0.25, now 0.3"),
    ],
)
def test_another_extent_is_another_question(again, change, named):
    with pytest.raises(RunDirectoryError, match=named):
        scan(replace(again, **change))

"""Whole comparisons of real runs."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import torch
from noisy_models import TRAINING, noisy, unaware
from noisy_models import memorizer as memorizer_of_copies
from noisy_models import write as noisy_copies
from PIL import Image as PillowImage

import memaudit
from memaudit.attacks.reconstruction import ODE, ONE_STEP, SAMPLE
from memaudit.comparison import ComparisonResult, compare
from memaudit.comparison.judgement import judge
from memaudit.comparison.names import short_names
from memaudit.comparison.records import COLUMNS
from memaudit.comparison.shares import SHARE_COLUMNS
from memaudit.config import CompareConfig, Mask, Noise
from memaudit.models.codec import encode_pixels
from memaudit.models.loaded import Loaded
from memaudit.models.provenance import Provenance
from memaudit.records import CLEAN, COPY
from memaudit.run.directory import RunDirectory
from memaudit.run.parts import Part
from memaudit.statistics.probes import Probe

MODES = ("ode", "one-step")  # of --reconstruct
ODE_PROBE, ONE_STEP_PROBE = Probe(ODE), Probe(ONE_STEP)
ODE_OF_COPIES, ONE_STEP_OF_COPIES = Probe(ODE, COPY), Probe(ONE_STEP, COPY)
PROBES, OF_COPIES_PROBES = [ODE_PROBE, ONE_STEP_PROBE], [ODE_OF_COPIES, ONE_STEP_OF_COPIES]
OF_COPIES = {"noise": Noise(sigmas=(0.8, 1.5), draws=1), "steps": 4}


def rows(result, level="all"):
    return {
        row.probe: row
        for one in result.comparisons
        for row in one.differences
        if row.level == level
    }


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Where the comparison of the memorizer with the stranger was written."""
    return tmp_path_factory.mktemp("written") / "comparison"


@pytest.fixture(scope="module")
def compared(runs, written):
    """That comparison."""
    return compare(CompareConfig((runs.memorizer, runs.stranger), str(written)))


def test_a_run_compared_with_itself_shows_no_difference(runs):
    result = compare(CompareConfig((runs.memorizer, runs.memorizer)))
    assert len(result.table) == 2 * 3
    assert (result.table[["wins", "losses", "newly_flagged", "no_longer_flagged"]] == 0).all(
        axis=None
    )
    assert (result.table["ties"] == 15).all()
    assert (result.table["sign_flip_p"] == 1).all()
    assert (result.table["direction"] == "inconclusive").all()
    assert result.changed.empty
    assert "bring all 15 members back alike" in result.sentences[0]


def test_the_memorizer_of_other_images_memorizes_less_of_these(compared):
    for probe in PROBES:
        row = rows(compared)[probe]
        assert (row.direction, row.wins, row.losses) == ("less", 15, 0)
        assert row.sign_flip_p <= 1e-3
        assert row.beyond_controls.high < -0.1
        assert row.flags.base == row.flags.no_longer == 15
        assert row.flags.run == row.flags.newly == 0
    [sentence] = compared.sentences
    assert sentence.startswith("stranger memorizes less than memorizer (reconstruction-ode): ")
    assert set(compared.changed["change"]) == {"no longer flagged"}
    assert len(compared.changed) == 15
    assert "not memorized" not in compared.text


def test_the_reverse_comparison_says_the_reverse(runs, compared):
    turned = compare(CompareConfig((runs.stranger, runs.memorizer)))
    forth, back = (rows(result)[ODE_PROBE] for result in (compared, turned))
    assert (back.direction, back.wins, back.losses) == ("more", forth.losses, forth.wins)
    assert back.beyond_controls.estimate == -forth.beyond_controls.estimate
    assert back.excess.difference.estimate == pytest.approx(-forth.excess.difference.estimate)
    assert (back.flags.newly, back.flags.no_longer) == (forth.flags.no_longer, 0)


def test_excess_and_flags_over_all_levels_are_those_of_the_scans(compared):
    row = rows(compared)[ODE_PROBE]
    for run, excess, flagged in zip(
        compared.runs,
        (row.excess.base, row.excess.run),
        (row.flags.base, row.flags.run),
        strict=True,
    ):
        assert excess == pytest.approx(run.excess.estimate)
        assert flagged == run.findings["flagged"].sum()


def test_tables_plots_and_words_are_written(runs, tmp_path):
    out = tmp_path / "comparison"
    result = compare(CompareConfig((runs.memorizer, runs.stranger, runs.memorizer), str(out)))
    pictures = {
        f"{name}.{kind}"
        for name in ("quality", *(f"similarity-{one}" for one in (ODE, ONE_STEP)))
        for kind in ("png", "svg")
    }
    tables = {"comparison.csv", "comparison.json", "comparison.txt", "shares.csv", "flags.csv"}
    assert {path.name for path in out.iterdir()} == pictures | tables
    csv = pd.read_csv(out / "comparison.csv")
    assert list(csv) == [name for name, _ in COLUMNS]
    assert len(csv) == 2 * 2 * 3
    np.testing.assert_allclose(csv["beyond_controls"], result.table["beyond_controls"], atol=1e-5)
    assert list(pd.read_csv(out / "shares.csv")) == [name for name, _ in SHARE_COLUMNS]
    report = json.loads((out / "comparison.json").read_text())
    assert report == json.loads(json.dumps(result.report()))
    assert report["differences"][0]["direction"] == "less"
    assert (out / "comparison.txt").read_text() == result.text + "\n"
    for name in pictures:
        if name.endswith("png"):
            with PillowImage.open(out / name) as picture:
                assert np.asarray(picture.convert("L")).std() > 5
        else:
            assert ElementTree.parse(out / name).getroot().tag.endswith("svg")


@pytest.mark.usefixtures("compared")
def test_the_same_comparison_writes_the_same_bytes(runs, written, tmp_path):
    compare(CompareConfig((runs.memorizer, runs.stranger), str(tmp_path / "two")))
    for path in written.iterdir():
        if path.suffix != ".txt":  # which names its directory
            assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_shares_of_the_whole_distribution_are_given_for_every_run(compared):
    table = compared.shares
    assert len(table) == 2 * 2 * 3 * 2  # runs, attacks, levels, sides
    whole = table[(table["level"] == "all") & (table["attack"] == ODE) & (table["input"] == CLEAN)]
    by_run = whole.set_index(["run", "split"])["above_0.95"]
    assert by_run[("memorizer", "member")] == 1
    assert by_run[("memorizer", "control")] < 0.2
    assert by_run[("stranger", "member")] < 0.2


def test_quality_is_shown_where_it_is_and_asked_for_where_it_is_not(compared):
    said = " ".join(compared.text.split())
    assert "memorizer: Frechet distance" in said
    assert "(biased upwards: few images) of 30 images and as many controls" in said
    assert "stranger: quality unknown; give its scan command once more with" in said


def test_one_step_misses_what_full_sampling_detects(runs, tiles, memorizes_below):
    images = encode_pixels(torch.from_numpy(np.stack(tiles)).permute(0, 3, 1, 2), 3)
    model = memorizes_below(images[:15], picture=images[55:].mean(0))
    how = {
        "loaded": Loaded(model, Provenance("memorizes below 0.6")),
        "noise": Noise(sigmas=(1.0, 1.5), draws=2),
        "reconstruct": MODES,
        "steps": 12,
    }
    run = runs.make("below", **how)
    result = compare(CompareConfig((run, run)))
    by_attack = {one.attack: one for one in result.modes}
    assert by_attack[ODE].evidence
    assert not by_attack[ONE_STEP].evidence
    assert "one step misses what full sampling detects" in " ".join(result.text.split())


def test_a_winner_whose_one_step_gives_evidence_is_named_with_it(compared):
    [row] = [row for row in compared.comparisons[0].differences if row.level == "all"][:1]
    modes = [
        replace(one, flagged=15, min_q=0.001, dataset_p=1e-9)
        if (one.run, one.attack) == ("stranger", ONE_STEP)
        else one
        for one in compared.modes
    ]
    [sentence] = judge(compared.comparisons[0].differences, compared.runs, modes)
    assert sentence.endswith("; one step of stranger gives evidence all the same")
    assert "all the same" not in compared.sentences[0]
    assert row.lesser == "stranger"


def test_runs_of_one_step_alone_are_compared(runs, of_copies):
    both = [
        runs.make(f"{name} in one step", model, model=name, reconstruct=("one-step",), **OF_COPIES)
        for name, model in of_copies["models"].items()
        if name in ("copier", "unaware")
    ]
    result = compare(CompareConfig(tuple(both)))
    assert list(rows(result)) == [ONE_STEP_PROBE, ONE_STEP_OF_COPIES]
    assert result.report()["one_step_and_full_sampling"] == []


def test_runs_that_agree_are_said_to_agree(compared):
    said = " ".join(compared.text.split())
    assert "memorizer: one step and full sampling agree, both give evidence" in said
    assert "stranger: one step and full sampling agree, neither gives evidence" in said


def test_an_inconclusive_run_and_what_is_not_shared_are_named(runs):
    one = runs.make("one", noise=Noise(sigmas=(1.0, 2.0), draws=2))
    other = runs.make(
        "other",
        model=f"closed-form:{runs.others}",
        noise=Noise(sigmas=(2.0, 3.0), draws=1),
        reconstruct=("ode", "sample"),
        steps=2,
    )
    result = compare(CompareConfig((one, other)))
    said = " | ".join(result.comparisons[0].remarks)
    assert "other is inconclusive by itself: nothing stands out" in said
    assert "only one has level 1: not compared" in said
    assert "only other has level 3: not compared" in said
    assert f"only other has the attack {SAMPLE}: not compared" in said
    assert "steps differ: 1 in one, 2 in other" in said
    assert "draws differ: 2" in said
    assert list(result.table["level"]) == ["all", "2"]
    assert set(result.table["draws"]) == {1}


def test_attacks_that_are_no_reconstructions_are_left_out_and_named(runs, tmp_path):
    extended = tmp_path / "memorizer"
    shutil.copytree(runs.memorizer, extended)
    run = RunDirectory.at(extended)
    record, scores = run.record(), run.parts("scores")
    rows = scores.read(0).table
    scores.write(0, Part(pd.concat([rows, rows.assign(attack="median-error", level=9.0)])))
    attack = replace(record.config.attack, attacks=("median-error",))
    record = replace(record, config=replace(record.config, attack=attack))
    run.seal(record)
    run.finish(record)
    plain = compare(CompareConfig((runs.memorizer, runs.stranger)))
    result = compare(CompareConfig((str(extended), runs.stranger)))
    numbers = [name for name in plain.table if name not in ("base", "run")]
    pd.testing.assert_frame_equal(result.table[numbers], plain.table[numbers])
    [said] = set(result.comparisons[0].remarks) - set(plain.comparisons[0].remarks)
    assert said == (
        "reconstructions, restorations and what membership rests on are compared; the attacks "
        "median-error are left out"
    )


def test_adaptive_runs_are_paired_where_both_scanned_in_full(runs):
    how = {"adaptive": True, "fraction": 0.2, "steps": 20, "noise": Noise(levels=2)}
    everyone = runs.make("full", **{**how, "adaptive": False})
    part = runs.make("part", **how)
    result = compare(CompareConfig((everyone, part)))
    said = " | ".join(result.comparisons[0].remarks)
    in_full = set(result.runs[1].scores["example_id"])
    if result.runs[1].screened:
        assert "part scanned only part of the images in full" in said
    row = rows(result)[ODE_PROBE]
    assert row.members + row.controls == len(in_full)
    assert row.ties == row.members


def test_the_public_names_compare():
    assert memaudit.compare is compare
    assert memaudit.ComparisonResult is ComparisonResult
    assert memaudit.CompareConfig is CompareConfig


@pytest.fixture(scope="module")
def of_copies(runs, tmp_path_factory):
    """Scans of models of noisy copies, by name, with the members' copies beside them."""
    root = tmp_path_factory.mktemp("copies")
    members, others = (
        [np.array(PillowImage.open(path)) for path in sorted(folder.glob("*.png"))]
        for folder in (runs.members, runs.others)
    )
    again, mixed = replace(TRAINING, seed=1), replace(TRAINING, loss="ambient-mixed")
    folder = noisy_copies(root / "model", members)
    elsewhere = noisy_copies(root / "again", members, noisy(members, again))
    models = {
        "copier": memorizer_of_copies(members, folder),
        "unaware": unaware(others, folder),
        "again": memorizer_of_copies(members, elsewhere, again),
        "mixed": memorizer_of_copies(members, folder, mixed),  # knows the clean images as well
    }
    scans = {
        name: runs.make(name, model, model=name, reconstruct=MODES, **OF_COPIES)
        for name, model in models.items()
    }
    return {**scans, "models": models}


def test_a_memorizer_of_noisy_copies_is_not_said_to_memorize_less(runs, of_copies):
    clean = runs.make("clean", reconstruct=MODES, **OF_COPIES)
    forth = compare(CompareConfig((clean, of_copies["copier"])))
    back = compare(CompareConfig((of_copies["copier"], clean)))
    for result in (forth, back):
        assert rows(result)[ODE_PROBE].direction == "not told"
        assert rows(result)[ODE_PROBE].lesser == "copier"
        assert (result.table["direction"] == "not told").all()
        [sentence] = result.sentences
        said = "clean images show less of copier than of clean, but copier memorized its noisy"
        assert sentence.startswith(said)
        assert "15 members of copier flagged by their noisy copies" in sentence
        assert "memorizes less than" not in result.text


@pytest.mark.parametrize(
    ("name", "changes", "why"),
    [
        (
            "unasked",
            {"noisy_copies": "none"},
            "was not asked for the noisy copies that it was trained on",
        ),
        ("unchecked", {"self_check": False}, "memorized its noisy copies"),
    ],
)
def test_no_model_of_noisy_data_wins_by_its_clean_images(runs, of_copies, name, changes, why):
    clean = runs.make("clean", reconstruct=MODES, **OF_COPIES)
    model = of_copies["models"]["copier"]
    other = runs.make(name, model, model="copier", reconstruct=MODES, **OF_COPIES, **changes)
    result = compare(CompareConfig((clean, other)))
    said = f"clean images show less of {name} than of clean, but {name} {why}"
    assert result.sentences[0].startswith(said)
    assert rows(result)[ODE_PROBE].direction == "not told"
    assert "memorizes less than" not in result.text


def test_a_model_of_masked_noisy_copies_does_not_win(runs, of_copies):
    hidden = replace(TRAINING, loss="gsure", mask=Mask("pixels", 0.2))
    model = replace(of_copies["models"]["unaware"], ambient=hidden)
    clean = runs.make("clean", reconstruct=MODES, **OF_COPIES)
    other = runs.make("hidden", model, model="hidden", reconstruct=MODES, **OF_COPIES)
    [sentence] = compare(CompareConfig((clean, other))).sentences
    said = "hidden was trained on noisy copies with masks, for which it cannot be asked"
    assert said in sentence
    report = json.loads((Path(other) / "scan.json").read_text())
    assert "no noisy copies to ask for" in report["verdict"]["reasons"][0]


def test_models_of_the_same_noisy_copies_are_compared_by_these(of_copies):
    result = compare(CompareConfig((of_copies["copier"], of_copies["unaware"])))
    by_probe = rows(result)
    assert list(by_probe) == [*PROBES, *OF_COPIES_PROBES]
    for probe in OF_COPIES_PROBES:
        row = by_probe[probe]
        assert row.own_similarity_base > 0.2  # the correlation with the frozen noise
        assert row.beyond_controls.high < -0.2
        assert (row.direction, row.wins) == ("less", 15)
        assert (row.flags.base, row.flags.run) == (15, 0)
    sentence = result.sentences[1]
    assert sentence.startswith("by the noisy copies that both were trained on, unaware memorizes")
    assert "less than copier (reconstruction-ode of copies): correlation with the" in sentence
    assert "correlation with the noise of members' copies" in sentence
    noisy_rows = [one for one in result.modes if (one.attack, one.input) == (ODE, COPY)]
    assert [(one.run, one.flagged) for one in noisy_rows] == [("copier", 15), ("unaware", 0)]
    assert "copier, asked for its noisy copies: one step and full sampling agree" in result.text
    tables = result.shares[result.shares["attack"] == ODE]
    tables = tables[tables["input"] == COPY]
    mean = tables[tables["level"] == "all"].set_index(["run", "split"])["mean"]
    assert mean[("copier", "member")] == pytest.approx(by_probe[ODE_OF_COPIES].own_similarity_base)


def test_a_model_that_returns_the_clean_image_does_not_win_by_the_noisy_copies(of_copies):
    result = compare(CompareConfig((of_copies["copier"], of_copies["mixed"])))
    by_probe = rows(result)
    clean, copies = by_probe[ODE_PROBE], by_probe[ODE_OF_COPIES]
    assert (clean.direction, clean.lesser) == ("not told", "copier")
    assert (copies.direction, copies.lesser) == ("not told", "mixed")
    assert by_probe[ONE_STEP_OF_COPIES].direction != "not told"  # above the noise they are alike
    assert "they show less of mixed than of copier, but the two trainings" in result.sentences[1]
    assert "memorizes less than" not in result.text


def test_an_image_that_stands_for_others_is_no_lost_score(runs, tiles, tmp_path):
    shutil.copytree(runs.members, tmp_path / "members")
    PillowImage.fromarray(tiles[0]).save(tmp_path / "members" / "copy.png")
    levels = {"noise": Noise(sigmas=(0.3, 1.0), draws=1), "index": None}
    run = runs.make("with a copy", dataset=str(tmp_path / "members"), **levels)
    darker = tiles[0] - np.minimum(tiles[0], 2)  # another id, of the same group
    PillowImage.fromarray(darker).save(tmp_path / "members" / "near.png")
    near = runs.make("with a near copy", dataset=str(tmp_path / "members"), **levels)
    for one in (run, near):
        result = compare(CompareConfig((one, one)))
        assert (result.table["ties"] == 15).all()
    assert not result.runs[0].findings["representative"].all()


@pytest.mark.slow
def test_other_noisy_copies_are_not_compared_image_by_image(of_copies, tmp_path):
    config = CompareConfig((of_copies["copier"], of_copies["again"]), str(tmp_path / "out"))
    result = compare(config)
    assert list(rows(result)) == PROBES
    assert len(result.sentences) == 1
    assert any("noisy copies are not the same" in said for said in result.comparisons[0].remarks)
    drawn = {path.name for path in (tmp_path / "out").glob("similarity-*.png")}
    assert drawn == {
        f"similarity-{one}{kind}.png" for kind in ("", "-copies") for one in (ODE, ONE_STEP)
    }


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["runs/clean", "runs/ambient"], ["clean", "ambient"]),
        (["/a/clean-0/scan", "/a/sure-0/scan"], ["clean-0", "sure-0"]),
        (["/a/clean/scan", "/a/sure/scan2"], ["clean/scan", "sure/scan2"]),
        (["runs", "runs/later"], ["runs", "runs/later"]),
        (["one", "./one"], ["one", "./one"]),
        (["a/runs/one"], ["one"]),
    ],
)
def test_runs_are_called_by_the_part_of_their_paths_that_differs(paths, names):
    assert list(short_names(paths).values()) == names


def test_copies_that_carry_no_verdict_are_not_compared(runs, of_copies, tmp_path):
    """Their noise is not that of memaudit, and 15 are too few to tell of what they were made."""
    members = [np.array(PillowImage.open(path)) for path in sorted(runs.members.glob("*.png"))]
    copies = noisy(members, replace(TRAINING, seed=5))
    folder = noisy_copies(tmp_path / "model", members, copies)
    doubted = [
        runs.make(f"{name} in doubt", replace(model, folder=folder), model=name, **OF_COPIES)
        for name, model in of_copies["models"].items()
        if name in ("copier", "unaware")
    ]
    result = compare(CompareConfig(tuple(doubted)))
    assert all(probe.input == CLEAN for probe in rows(result))
    clean = runs.make("clean one", **OF_COPIES)
    [sentence] = compare(CompareConfig((clean, doubted[0]))).sentences
    assert "copier in doubt has noisy copies that carry no verdict" in sentence

"""Runs that cannot be compared are refused, and told why."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from memaudit.comparison import compare
from memaudit.config import CompareConfig, Noise
from memaudit.errors import ConfigError, RunDirectoryError


@pytest.fixture(scope="module")
def base(runs):
    return runs.make("base")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 1}, "seed is 1, expected 0; .* scan with the same --seed"),
        ({"resize": "stretch"}, "resize is stretch, expected center-crop"),
        ({"resolution": 8}, "resolution is 8x8, expected 16x16; .* the same --resolution"),
        ({"duplicate_threshold": 2.0}, "duplicate threshold is 2.0, expected None"),
        (
            {"score": ("own_similarity",)},
            "score is own_similarity, expected margin, tile_l2, l2_ratio",
        ),
        (
            {"noise": Noise(sigmas=(3.0,), draws=1)},
            "no level is shared: found 3, expected one of 2; .* the same --sigma",
        ),
        (
            {"reconstruct": ("one-step",)},
            "no attack is shared: found reconstruction-one-step, expected one of reconstruction-ode"
            "; .* the same --reconstruct",
        ),
        ({"embedder": "sscd-distilled"}, "embedder is sscd-distilled, expected pixels"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_another_setting_is_refused_and_named(runs, base, change, named):
    changes = {"index": None, **change} if "resize" in change or "resolution" in change else change
    other = runs.make(f"other-{next(iter(change))}", **changes)
    with pytest.raises(RunDirectoryError, match=f"cannot be compared with {base}: {named}"):
        compare(CompareConfig((base, other)))


def test_other_clusters_are_refused(runs, base, tmp_path):
    for side in ("members", "controls"):
        for image in getattr(runs, side).iterdir():
            photograph = tmp_path / side / image.stem
            photograph.mkdir(parents=True)
            (photograph / image.name).write_bytes(image.read_bytes())
    folders = {side: str(tmp_path / side) for side in ("members", "controls")}
    sides = {"dataset": folders["members"], "controls": folders["controls"], "index": None}
    clustered = runs.make("clustered", **sides, cluster_column="folder")
    with pytest.raises(RunDirectoryError, match="clusters is folder, expected none; what counts"):
        compare(CompareConfig((base, clustered)))


def test_other_images_are_refused(runs, base):
    swapped = runs.make("swapped", dataset=str(runs.others), index=None)
    with pytest.raises(
        RunDirectoryError, match="found 65 different images, expected the base's 55"
    ):
        compare(CompareConfig((base, swapped)))


def test_members_that_are_controls_elsewhere_are_other_images(runs, base):
    sides = {"dataset": str(runs.controls), "controls": str(runs.members), "index": None}
    with pytest.raises(RunDirectoryError, match="0 of them shared on the same side"):
        compare(CompareConfig((base, runs.make("turned", **sides))))


def test_another_reference_is_refused(runs, base):
    folders = {"reference": f"closed-form:{runs.others}", "reference_trained_on": str(runs.others)}
    referred = runs.make("referred", noise=Noise(sigmas=(0.5, 2.0), draws=1), **folders)
    with pytest.raises(
        RunDirectoryError, match=r"reference is closed-form.*, expected none; scores are diff"
    ):
        compare(CompareConfig((base, referred)))
    result = compare(CompareConfig((referred, referred)))
    flagged = result.runs[0].findings["flagged"].sum()
    [row] = [one for one in result.comparisons[0].differences if one.level == "all"]
    assert row.flags.base == flagged > 0


def test_copies_of_the_same_images_are_the_same_images(runs, base, tmp_path):
    for name in ("members", "controls"):
        shutil.copytree(getattr(runs, name), tmp_path / name, copy_function=shutil.copyfile)
    places = {name: str(tmp_path / folder) for name, folder in SIDES.items()}
    copied = runs.make("copied", index=None, **places)
    result = compare(CompareConfig((base, copied)))
    one, other = (run.record.prepared.data.fingerprint for run in result.runs)
    assert one != other
    assert (result.table["ties"] == 15).all()


SIDES = {"dataset": "members", "controls": "controls"}


def test_an_unfinished_run_is_refused(base, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(base, run)
    (run / "scan.json").unlink()
    with pytest.raises(RunDirectoryError, match="holds a scan that is not finished"):
        compare(CompareConfig((base, str(run))))


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_what_is_no_run_is_refused(base, tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunDirectoryError, match=f"{name} is no run directory: found no scan.json"):
        compare(CompareConfig((base, str(tmp_path / name))))


def damage_report(run: Path) -> None:
    (run / "scan.json").write_text("{")


def lose_a_part_of_the_report(run: Path) -> None:
    report = json.loads((run / "scan.json").read_text())
    del report["prepared"]["embedder"]
    (run / "scan.json").write_text(json.dumps(report))


def change_the_report(run: Path) -> None:
    report = json.loads((run / "scan.json").read_text())
    report["verdict"]["outcome"] = "none beyond controls"
    (run / "scan.json").write_text(json.dumps(report))


def write_as_earlier_versions(run: Path) -> None:
    old = {"verdict": {"outcome": "evidence", "reasons": []}, "provenance": {}, "summary": {}}
    (run / "scan.json").write_text(json.dumps(old))


def write_as_a_later_version(run: Path) -> None:
    report = json.loads((run / "scan.json").read_text())
    (run / "scan.json").write_text(json.dumps({**report, "format": 99}))


def damage_findings(run: Path) -> None:
    (run / "findings.parquet").write_bytes(b"PAR1")


def damage_scores(run: Path) -> None:
    (run / "scores" / "part-00000.parquet").write_bytes(b"PAR1")


def exchange_findings(run: Path) -> None:
    findings = pd.read_parquet(run / "findings.parquet")
    findings.assign(flagged=False).to_parquet(run / "findings.parquet")


def lose_the_manifest(run: Path) -> None:
    (run / "manifest.json").unlink()


def lose_scores(run: Path) -> None:
    shutil.rmtree(run / "scores")


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (damage_report, "scan.json cannot be read: it holds no JSON .* run its scan again"),
        (change_the_report, "scan.json was changed after its scan had written it.* again"),
        (lose_a_part_of_the_report, r"cannot be read: prepared\.embedder: .* expected what format"),
        (write_as_earlier_versions, "is of an earlier version of memaudit, expected format 2"),
        (write_as_a_later_version, "is of format 99, expected format 2.* run the scan again"),
        (damage_findings, "findings.parquet cannot be read"),
        (damage_scores, r"part-00000.parquet cannot be read \(it is damaged"),
        (lose_scores, r"part-00000.parquet cannot be read \(it is missing"),
        (lose_the_manifest, "has no manifest.json, .* or an earlier memaudit wrote none"),
        (exchange_findings, r"findings.parquet cannot be read \(it is damaged: its sha256"),
    ],
)
def test_a_damaged_run_is_refused(base, tmp_path, damage, named):
    run = tmp_path / "run"
    shutil.copytree(base, run)
    damage(run)
    with pytest.raises(RunDirectoryError, match=named):
        compare(CompareConfig((base, str(run))))


def test_a_run_whose_scores_are_not_all_made_anew_is_refused(runs, tmp_path):
    run = runs.make("in parts", shard_size=30)
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    manifest = json.loads((copy / "manifest.json").read_text())
    del manifest["tables"]["scores/part-00001.parquet"]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(RunDirectoryError, match=r"has lost the scores of \d+ of 55 images"):
        compare(CompareConfig((run, str(copy))))


def test_one_run_is_no_comparison(base):
    with pytest.raises(ConfigError, match="found 1 run, expected two or more"):
        CompareConfig((base,))


def test_nothing_is_written_into_a_run(base):
    with pytest.raises(ConfigError, match="lies inside the run"):
        CompareConfig((base, base), out=f"{base}/.")


def test_out_that_is_a_file_is_refused(base, tmp_path):
    (tmp_path / "file").write_text("keep me")
    with pytest.raises(ConfigError, match="is a file; give a directory"):
        compare(CompareConfig((base, base), str(tmp_path / "file")))
    assert (tmp_path / "file").read_text() == "keep me"

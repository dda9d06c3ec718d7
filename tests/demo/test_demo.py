"""The demo: the main job on real images with the bundled models."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image as PillowImage

from memaudit.audit import ScanResult, scan
from memaudit.audit.replay import replay
from memaudit.cli import main
from memaudit.config import Noise, ReplayConfig
from memaudit.demo.run import MODELS, TITLES, compare_demo, demo_config, report_demo
from memaudit.demo.tiles import Tile
from memaudit.statistics.verdict import Outcome

FEW = {"members": 20, "controls": 85}


@pytest.mark.long
def test_the_demo_detects_the_overfit_model_clears_its_twin_and_sees_memorized_noisy_copies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["demo", "--out", str(tmp_path / "demo")])
    printed = capsys.readouterr().out
    assert left.value.code == 0
    assert f"Verdict: {Outcome.EVIDENCE}" in printed
    assert "Verdict: no reconstruction beyond held-out controls was found" in printed
    overfit = pd.read_parquet(tmp_path / "demo/overfit/findings.parquet")
    twin = pd.read_parquet(tmp_path / "demo/twin/findings.parquet")
    members = overfit[overfit["split"] == "member"]
    assert members["flagged"].mean() >= 0.9
    assert not overfit.loc[overfit["split"] == "control", "flagged"].any()
    assert not twin["flagged"].any()
    ambient = pd.read_parquet(tmp_path / "demo/ambient/findings.parquet")
    of_members = ambient[ambient["flagged"]]
    assert (of_members["split"] == "member").all()
    assert len(of_members) >= 0.9 * len(members)
    assert (of_members["input"] == "noisy copy").mean() >= 0.9
    assert (
        "clean images show less of ambient than of overfit, but ambient memorized its noisy copies"
        in " ".join(printed.split())
    )
    assert (tmp_path / "demo/comparison/comparison.csv").is_file()
    strips = list((tmp_path / "demo/overfit/images").glob("*.png"))
    assert len(strips) == (overfit["flagged"] & overfit["representative"]).sum()
    assert printed.splitlines()[-1] == f"Report: {tmp_path / 'demo' / 'report.html'}"
    assert (tmp_path / "demo" / "report.html").is_file()


@pytest.fixture(scope="module")
def few(
    split: dict[str, list[Tile]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, ScanResult]]:
    """The demo's scans of part of its images at one level, and where they stand.

    The reading of the ambient model is checked in other tests; here that would only take time.
    """
    root = tmp_path_factory.mktemp("few")
    folders = {side: root / "images" / side for side in FEW}
    for side, folder in folders.items():
        folder.mkdir(parents=True)
        for tile in split[side][: FEW[side]]:
            PillowImage.fromarray(tile.image).save(folder / f"{tile.name}.png")
    results = {}
    for name in TITLES:
        config = demo_config(name, folders, root / name)
        quick = replace(config, noise=Noise(levels=1, draws=1), steps=3)
        results[name] = scan(replace(quick, self_check=name != "ambient"))
    return root, results


@pytest.mark.slow
def test_of_few_images_the_demo_tells_the_same_models_apart(
    few: tuple[Path, dict[str, ScanResult]],
) -> None:
    root, results = few
    verdicts = {name: result.summary.verdict for name, result in results.items()}
    assert verdicts["overfit"].outcome is Outcome.EVIDENCE
    assert verdicts["twin"].outcome is Outcome.NONE
    [reason] = verdicts["ambient"].reasons  # and no other
    assert reason.startswith("the self-check of the model was switched off")
    for name in ("overfit", "ambient"):
        flagged = results[name].findings[results[name].findings["flagged"]]
        assert (flagged["split"] == "member").all()
        assert len(flagged) >= 0.9 * FEW["members"]
    assert (flagged["input"] == "noisy copy").mean() >= 0.9
    assert not results["twin"].findings["flagged"].any()
    strips = list((root / "overfit" / "images").glob("*.png"))
    assert len(strips) == results["overfit"].findings["flagged"].sum()


@pytest.mark.slow
def test_of_few_images_the_demo_names_no_winner_that_memorized_its_noisy_copies(
    few: tuple[Path, dict[str, ScanResult]],
) -> None:
    root, _ = few
    comparison = compare_demo(root)
    said = " ".join(comparison.text.split())
    assert (
        "clean images show less of ambient than of overfit, but ambient memorized its noisy copies"
        in said
    )
    assert (root / "comparison" / "comparison.csv").is_file()
    report = report_demo(root, comparison).read_text(encoding="utf-8")
    headings = re.findall(r"<h2[^>]*>([^<]+)</h2>", report)
    assert [one.partition(":")[0] for one in headings] == ["The comparison", *TITLES]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["overfit", "ambient"])
def test_findings_of_the_demo_are_repeated_from_their_seeds(
    few: tuple[Path, dict[str, ScanResult]], name: str
) -> None:
    root, results = few
    asked = ReplayConfig(
        replay=5,
        model=str(MODELS / name),
        dataset=str(root / "images" / "members"),
        controls=str(root / "images" / "controls"),
        index=str(root / "index"),
    )
    replayed = replay(str(root / name), asked)
    assert replayed.passes
    flagged = results[name].findings[results[name].findings["flagged"]]
    assert [one.example_id for one in replayed.images] == flagged["example_id"].head(5).tolist()
    assert all(one.largest is not None and one.largest <= 1e-4 for one in replayed.columns)
    other = replay(str(root / name), replace(asked, model=str(MODELS / "twin")))
    assert not other.passes
    assert other.unlike[0].startswith("model, diffusion_pytorch_model.safetensors: its sha256 is")


def test_the_images_alone_are_written_where_it_is_said(
    split: dict[str, list[Tile]], written: tuple[Path, str]
) -> None:
    root, printed = written
    folders = {side: root / "images" / side for side in split}
    assert printed.split() == [str(folder) for folder in folders.values()]
    for side, tiles in split.items():
        assert {path.stem for path in folders[side].iterdir()} == {tile.name for tile in tiles}
    assert [path.name for path in root.iterdir()] == ["images"]


def test_the_demo_stops_at_a_folder_that_is_not_its_own(
    written: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(written[0], tmp_path / "demo")
    letter = tmp_path / "demo" / "overfit" / "letter.txt"
    letter.parent.mkdir()
    letter.write_text("keep me")
    with pytest.raises(SystemExit) as left:
        main(["demo", "--out", str(tmp_path / "demo")])
    assert left.value.code == 2
    assert "holds letter.txt but no run of memaudit" in capsys.readouterr().err
    assert {path.name for path in (tmp_path / "demo").iterdir()} == {"images", "overfit"}


def test_the_bundled_models_are_safetensors_and_nothing_else_is_loaded() -> None:
    for name in ("overfit", "twin", "ambient"):
        kinds = {path.suffix for path in (MODELS / name).rglob("*") if path.is_file()}
        assert kinds == {".json", ".safetensors"}

"""The demo: the main job on real images with the bundled models."""

from pathlib import Path

import pandas as pd
import pytest

from memaudit.cli import main
from memaudit.demo.run import MODELS
from memaudit.statistics import Outcome


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


def test_the_bundled_models_are_safetensors_and_nothing_else_is_loaded() -> None:
    for name in ("overfit", "twin", "ambient"):
        kinds = {path.suffix for path in (MODELS / name).rglob("*") if path.is_file()}
        assert kinds == {".json", ".safetensors"}

"""The demo: the main job on real images with the bundled models."""

from pathlib import Path

import pandas as pd
import pytest

from memaudit.cli import main
from memaudit.demo.run import MODELS
from memaudit.stages.calibrate import Outcome


def test_the_demo_convicts_the_overfit_model_and_acquits_its_twin(
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
    strips = list((tmp_path / "demo/overfit/images").glob("*.png"))
    assert len(strips) == (overfit["flagged"] & overfit["representative"]).sum()


def test_the_bundled_models_are_safetensors_and_nothing_else_is_loaded() -> None:
    for name in ("overfit", "twin"):
        kinds = {path.suffix for path in (MODELS / name).rglob("*") if path.is_file()}
        assert kinds == {".json", ".safetensors"}

"""A scan of a model in one file finds what a scan of its folder finds, and repeats."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from single_files import of_class, write
from tiny import write_sd

from memaudit.audit import scan
from memaudit.config import Noise, ScanConfig
from memaudit.errors import RunDirectoryError
from memaudit.models.weights import sha256_file
from memaudit.records import Image


@pytest.fixture
def config(tiles: list[Image], write_folder: Callable[..., Path], tmp_path: Path) -> ScanConfig:
    base = write_sd(tmp_path / "base")
    return ScanConfig(
        model=str(write(tmp_path / "model.safetensors", of_class(base))),
        base_model=str(base),
        dataset=str(write_folder("members", tiles[:4])),
        controls=str(write_folder("controls", tiles[4:10])),
        out=str(tmp_path / "run"),
        noise=Noise(sigmas=(1.0, 4.0), draws=1),
        embedder="pixels",
        attacks=("none",),
        steps=2,
        self_check=False,  # the weights are random
        images=0,
    )


def test_a_scan_of_a_file_has_the_scores_of_its_folder(config: ScanConfig, tmp_path: Path) -> None:
    of_file = scan(config)
    folder = replace(
        config, model=config.target.base_model, base_model=None, out=str(tmp_path / "of folder")
    )
    pd.testing.assert_frame_equal(of_file.scores, scan(folder).scores)
    model = of_file.prepared.model
    assert model.model == config.target.spec
    assert model.weights == {"model.safetensors": sha256_file(Path(config.target.spec))}


def test_a_run_is_not_continued_with_another_prediction(config: ScanConfig) -> None:
    scan(config)
    with pytest.raises(RunDirectoryError, match="--prediction was not given, now v_prediction"):
        scan(replace(config, prediction="v_prediction"))

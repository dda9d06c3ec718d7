"""Scans of tiny random pipelines of each class that is read."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_families import WRITERS

from memaudit.audit import scan
from memaudit.config import MEMBERSHIP, Noise, ScanConfig
from memaudit.errors import MisreadModelError
from memaudit.models.families.registry import PIPELINES
from memaudit.models.flow import FlowMatching
from memaudit.models.load import load_model
from memaudit.models.loaded import ModelOptions
from memaudit.records import Image

WriteFolder = Callable[[str, list[Image]], Path]
MEMBERS, CONTROLS = 3, 5
NEW = [name for name in WRITERS if not name.startswith(("StableDiffusionP", "StableDiffusionX"))]

pytestmark = pytest.mark.slow


@pytest.fixture(params=NEW)
def config(
    request: pytest.FixtureRequest, tiles: list[Image], write_folder: WriteFolder, tmp_path: Path
) -> ScanConfig:
    members = write_folder("members", tiles[:MEMBERS])
    controls = write_folder("controls", tiles[MEMBERS : MEMBERS + CONTROLS])
    for folder in (members, controls):
        for picture in folder.glob("*.png"):
            picture.with_suffix(".txt").write_text(f"a photo of {picture.stem}")
    torch.manual_seed(0)
    return ScanConfig(
        model=str(WRITERS[request.param](tmp_path / "model")),
        dataset=str(members),
        controls=str(controls),
        out=str(tmp_path / "run"),
        resolution=(32, 48),
        noise=Noise(sigmas=(1.0, 4.0), draws=1),
        embedder="pixels",
        steps=2,
        self_check=False,  # the weights are random
        images=0,
    )


def test_a_pipeline_is_scanned_in_its_latents_by_both_attacks(config: ScanConfig) -> None:
    result = scan(config)
    assert len(result.findings) == MEMBERS + CONTROLS
    restored = result.scores[result.scores["attack"] == "reconstruction"]
    assert restored["own_similarity"].notna().all()
    told = result.prepared.model
    assert told.family == PIPELINES[str(told.details["class"])]
    assert all(len(digest) == 64 for digest in told.weights.values())
    denoiser = load_model(config.target.spec, ModelOptions(resolution=32)).denoiser
    levels = set(result.scores.loc[result.scores["attack"] == MEMBERSHIP, "level"])
    flows = isinstance(denoiser.parameterization, FlowMatching)
    assert (1.0 in levels) == flows


def test_a_network_that_was_never_trained_is_refused(config: ScanConfig) -> None:
    with pytest.raises(MisreadModelError, match="misread model"):
        scan(replace(config, self_check=True))

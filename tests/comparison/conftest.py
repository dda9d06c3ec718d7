"""Finished runs of models with known answers on the same real images."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from PIL import Image as PillowImage

from memaudit.audit import scan
from memaudit.config import Noise, ScanConfig
from memaudit.corruption.noise import per_row
from memaudit.models.closed_form import ClosedForm
from memaudit.models.loaded import Loaded
from memaudit.records import Image


@dataclass(frozen=True)
class Runs:
    """Folders of images, and run directories by name; `make` scans once more."""

    members: Path
    controls: Path
    others: Path
    memorizer: str
    stranger: str
    make: Callable[..., str]


@pytest.fixture(scope="session")
def runs(tiles: list[Image], tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """The perfect memorizers of 15 members, and of 25 images that are in no data set."""
    root = tmp_path_factory.mktemp("compare")
    parts = {"members": tiles[:15], "controls": tiles[15:55], "others": tiles[55:]}
    folders = {name: _save(root / name, images) for name, images in parts.items()}

    def make(name: str, loaded: Loaded | None = None, **changes: object) -> str:
        fields = {
            "model": f"closed-form:{folders['members']}",
            "dataset": str(folders["members"]),
            "controls": str(folders["controls"]),
            "embedder": "pixels",
            "attacks": ("none",),
            "noise": Noise(sigmas=(2.0,), draws=1),
            "steps": 1,
            "images": 0,
            "power": False,
            "device": "cpu",
            "index": str(root / "indexes" / str(changes.get("embedder", "pixels"))),
        }
        config = ScanConfig(**{**fields, "out": str(root / name), **changes})
        scan(config, loaded=loaded)
        return config.execution.out

    both = {
        "noise": Noise(sigmas=(0.3, 1.0), draws=1),
        "reconstruct": ("ode", "one-step"),
        "steps": 2,
        "power": True,
    }
    stranger = f"closed-form:{folders['others']}"
    return Runs(
        **folders,
        memorizer=make("memorizer", generate=30, **both),
        stranger=make("stranger", model=stranger, **both),
        make=make,
    )


@dataclass(frozen=True, eq=False)
class MemorizesBelow(ClosedForm):
    """Knows its images at weak noise only; above, it answers with one and the same picture."""

    limit: float = 0.6
    picture: torch.Tensor | None = None

    def denoise(self, x, sigma, prompts=()):
        below = super().denoise(x, sigma, prompts)
        return torch.where(per_row(sigma, x) > self.limit, self.picture.expand_as(x), below)


@pytest.fixture(scope="session")
def memorizes_below() -> type[MemorizesBelow]:
    return MemorizesBelow


def _save(folder: Path, images: list[Image]) -> Path:
    folder.mkdir()
    for k, image in enumerate(images):
        PillowImage.fromarray(image).save(folder / f"{k:03d}.png")
    return folder

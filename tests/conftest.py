"""Real images for all tests: small tiles of the photographs that ship inside scikit-image."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage
from skimage import data as photographs

from memaudit.data import resize
from memaudit.records import Image

os.environ["HF_HUB_OFFLINE"] = "1"  # its client reads this once, when it is imported

# One thread a process, also in the programs that tests start: tests run in a process a core.
torch.set_num_threads(int(os.environ.setdefault("OMP_NUM_THREADS", "1")))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files of slow tests, so that no process is left alone with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep indexes of a test out of the user's cache, and the hub out of reach."""
    monkeypatch.setenv("MEMAUDIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def tiles() -> list[Image]:
    """80 different 16 px tiles, [16, 16, 3] uint8, in a fixed random order."""
    cut = []
    for photograph in (photographs.astronaut(), photographs.coffee(), photographs.chelsea()):
        height, width = photograph.shape[:2]
        for y in range(0, height - 63, 64):
            for x in range(0, width - 63, 64):
                tile = photograph[y : y + 64, x : x + 64]
                if tile.std() > 30:
                    cut.append(resize(tile, (16, 16), "stretch"))
    order = np.random.default_rng(0).permutation(len(cut))[:80]
    return [cut[k] for k in order]


@pytest.fixture
def write_folder(tmp_path: Path) -> Callable[[str, list[Image]], Path]:
    """Write images as PNG files into a folder of the test and return its path."""

    def write(name: str, images: list[Image]) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        for k, image in enumerate(images):
            PillowImage.fromarray(image).save(folder / f"{k:03d}.png")
        return folder

    return write

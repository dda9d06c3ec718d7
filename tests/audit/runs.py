"""What the tests of scans share: images, how a scan is asked for, and when two found the same."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage
from skimage import data as photographs

from memaudit.config import NO_ATTACK, Noise, ScanConfig
from memaudit.data import resize
from memaudit.records import KEYS, Image

TEXTS = [
    *("example_id", "representative", "stage", "nearest_other", "flagged"),
    *("flagged_extrapolated", "claim", "literature", "reason"),
]
NUMBERS = [
    *("own_similarity", "own_rank", "nearest_other_similarity", "margin"),
    *("psnr", "ssim", "l2", "tile_l2", "adaptive_l2", "l2_ratio"),
    *("p_value", "q_value", "p_extrapolated", "recovered_from_snr_db"),
]


def cut(*photographs: Image, side: int = 16) -> list[Image]:
    """All tiles that show something, `side` px of a photograph made 16 px, in a random order."""
    tiles = [
        photograph[y : y + side, x : x + side]
        for photograph in photographs
        for y in range(0, photograph.shape[0] - side + 1, side)
        for x in range(0, photograph.shape[1] - side + 1, side)
    ]
    tiles = [tile for tile in tiles if tile.mean(2).std() > 20]
    order = np.random.default_rng(0).permutation(len(tiles))
    return [resize(tiles[k], (16, 16), "stretch") for k in order]


def photographed() -> list[Image]:
    """The tiles of three photographs, no two of them alike."""
    return cut(photographs.astronaut(), photographs.coffee(), photographs.chelsea(), side=48)


def save(folder: Path, images: Sequence[Image], kind: str = "png", **options) -> Path:
    """Write images as files into a new folder and return its path."""
    folder.mkdir(parents=True)
    for k, image in enumerate(images):
        PillowImage.fromarray(image).save(folder / f"{k:03d}.{kind}", **options)
    return folder


def ask(dataset: Path, out: Path, **changes) -> ScanConfig:
    """Ask for a quick scan of the perfect memorizer of a data set, for reproduction alone."""
    fields = {
        "model": f"closed-form:{dataset}",
        "dataset": str(dataset),
        "out": str(out),
        "embedder": "pixels",
        "noise": Noise(levels=2, draws=1),
        "steps": 4,
        "attacks": (NO_ATTACK,),
        "images": 0,
        "device": "cpu",
    }
    paths = {key: str(value) for key, value in changes.items() if isinstance(value, Path)}
    return ScanConfig(**{**fields, **changes, **paths})


def assert_same_findings(one, other, by=("split", "source")):
    """Require the same rows and flags, and numbers within 1e-4, the score within 1e-3.

    The score is in spreads of the pool. A pixel that rounds to the next grey level, as another
    batch makes it on some machines, moves it by more than what it is made of.
    """
    one, other = (table.set_index(list(by), drop=False).sort_index() for table in (one, other))
    assert one.index.is_unique
    assert one.index.equals(other.index)
    assert one[TEXTS].equals(other[TEXTS])
    _assert_close(one[NUMBERS], other[NUMBERS])
    _assert_close(one[["score"]], other[["score"]], 1e-3)


def assert_same_scores(one, other):
    """Require the same rows of scores, and numbers within 1e-4."""
    one, other = (table.set_index(list(KEYS)).sort_index() for table in (one, other))
    assert one.index.is_unique
    assert one.index.equals(other.index)
    assert one["nearest_other"].equals(other["nearest_other"])
    numbers = [name for name in one.columns if name != "nearest_other"]
    _assert_close(one[numbers], other[numbers])


def _assert_close(one, other, within=1e-4):
    np.testing.assert_allclose(
        one.to_numpy(np.float64), other.to_numpy(np.float64), rtol=within, atol=within
    )


def written_at(folder: Path) -> dict[str, int]:
    """When each file below a folder was written, in nanoseconds."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in files}

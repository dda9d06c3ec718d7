"""What the tests of scans share: how a scan is asked for, and when two found the same."""

from pathlib import Path

import numpy as np

from memaudit.config import Corruption, ScanConfig

TEXTS = ["example_id", "representative", "nearest_other", "flagged", "severity", "reason"]
NUMBERS = [
    *("score", "own_similarity", "own_rank", "nearest_other_similarity", "margin"),
    *("psnr", "ssim", "l2", "tile_l2", "p_value", "q_value", "recovered_from_snr_db"),
]
KEYS = ["example_id", "reconstruction", "sigma", "draw"]


def ask(dataset: Path, out: Path, **changes) -> ScanConfig:
    """Ask for a quick scan of the perfect memorizer of a data set."""
    fields = {
        "model": f"closed-form:{dataset}",
        "dataset": str(dataset),
        "out": str(out),
        "embedder": "pixels",
        "corruption": Corruption(levels=2, draws=1),
        "steps": 4,
        "images": 0,
        "device": "cpu",
    }
    paths = {key: str(value) for key, value in changes.items() if isinstance(value, Path)}
    return ScanConfig(**{**fields, **changes, **paths})


def assert_same_findings(one, other, by=("split", "source")):
    """Require the same rows and flags, and numbers within 1e-4."""
    one, other = (table.set_index(list(by), drop=False).sort_index() for table in (one, other))
    assert one.index.is_unique
    assert one.index.equals(other.index)
    assert one[TEXTS].equals(other[TEXTS])
    _assert_close(one[NUMBERS], other[NUMBERS])


def assert_same_scores(one, other):
    """Require the same rows of scores, and numbers within 1e-4."""
    one, other = (table.set_index(KEYS).sort_index() for table in (one, other))
    assert one.index.is_unique
    assert one.index.equals(other.index)
    assert one["nearest_other"].equals(other["nearest_other"])
    numbers = [name for name in one.columns if name != "nearest_other"]
    _assert_close(one[numbers], other[numbers])


def _assert_close(one, other):
    np.testing.assert_allclose(
        one.to_numpy(np.float64), other.to_numpy(np.float64), rtol=1e-4, atol=1e-4
    )


def written_at(folder: Path) -> dict[str, int]:
    """When each file below a folder was written, in nanoseconds."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in files}

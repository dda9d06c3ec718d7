"""The demo: an overfit model and its twin, scanned with the same images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from memaudit.config import Corruption, ScanConfig
from memaudit.demo.tiles import write_tiles
from memaudit.progress import Progress, silent
from memaudit.scanning import ScanResult, scan

MODELS = Path(__file__).parent / "models"
TITLES = {
    "overfit": "overfit model: trained on the members",
    "twin": "its twin: trained on other tiles, it saw neither members nor controls",
}


def write_images(out: str | Path) -> dict[str, Path]:
    """Write the demo's members, controls and others below `out`/images."""
    return write_tiles(Path(out) / "images")


def run_demo(out: str | Path, progress: Progress = silent) -> Iterator[tuple[str, ScanResult]]:
    """Scan both bundled models and yield a title and the result for each."""
    folders = write_images(out)
    for name, title in TITLES.items():
        yield title, scan(demo_config(name, folders, Path(out) / name), progress)


def demo_config(model: str, folders: dict[str, Path], run: Path) -> ScanConfig:
    """The demo's scan of a bundled model: "overfit" or "twin"."""
    return ScanConfig(
        model=str(MODELS / model),
        dataset=str(folders["members"]),
        controls=str(folders["controls"]),
        out=str(run),
        corruption=Corruption(levels=3, draws=2),
        embedder="sscd-distilled",
        index=str(run.parent / "index"),
    )

"""The demo: an overfit model, its twin, and one trained on noisy copies, on the same images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from memaudit.audit import ScanResult, scan
from memaudit.comparison import ComparisonResult, compare
from memaudit.comparison.report import told
from memaudit.config import CompareConfig, ScanConfig
from memaudit.demo.tiles import write_tiles
from memaudit.progress import Progress, silent
from memaudit.report.finished import read_reported
from memaudit.report.write import write_reports

MODELS = Path(__file__).parent / "models"
TITLES = {
    "overfit": "overfit model: trained on the members",
    "twin": "its twin: trained on other tiles, it saw neither members nor controls",
    "ambient": "ambient model: trained as long on noisy copies of the members, one copy each",
}
COMPARED = ("overfit", "ambient")


def write_images(out: str | Path) -> dict[str, Path]:
    """Write the demo's members, controls and others below `out`/images."""
    return write_tiles(Path(out) / "images")


def run_demo(out: str | Path, progress: Progress = silent) -> Iterator[tuple[str, ScanResult]]:
    """Scan the bundled models and yield a title and the result for each."""
    folders = write_images(out)
    for name, title in TITLES.items():
        yield title, scan(demo_config(name, folders, Path(out) / name), progress)


def compare_demo(out: str | Path, progress: Progress = silent) -> ComparisonResult:
    """Compare training on clean images with training on noisy copies, once both are scanned."""
    runs = tuple(str(Path(out) / name) for name in COMPARED)
    return compare(CompareConfig(runs, str(Path(out) / "comparison")), progress)


def report_demo(out: str | Path, comparison: ComparisonResult) -> Path:
    """Report all scans, with the comparison of two of them."""
    runs = [replace(read_reported(str(Path(out) / name)), name=name) for name in TITLES]
    [written] = write_reports(runs, Path(out), ("html",), told(comparison))
    return written


def demo_config(model: str, folders: dict[str, Path], run: Path) -> ScanConfig:
    """The demo's scan of a bundled model, a key of TITLES."""
    return ScanConfig(
        model=str(MODELS / model),
        dataset=str(folders["members"]),
        controls=str(folders["controls"]),
        out=str(run),
        levels=3,
        draws=2,
        membership_draws=1,
        steps=5,
        embedder="sscd-distilled",
        index=str(run.parent / "index"),
    )

"""A finished run of the perfect memorizer and its evidence, whole and redacted, to be damaged."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image as PillowImage

from memaudit.audit import scan
from memaudit.comparison.report import report
from memaudit.config import Noise, ReportConfig, ScanConfig
from memaudit.records import Image

MEMBERS, CONTROLS = 6, 44


@dataclass(frozen=True)
class Finished:
    """Where a run, its model and its images stand, and the digest that the scan gave back."""

    run: Path
    members: Path
    controls: Path
    digest: str

    @property
    def model(self) -> str:
        """The perfect memorizer of the members."""
        return f"closed-form:{self.members}"


@pytest.fixture(scope="session")
def finished(tiles: list[Image], tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A finished run; it is not to be changed."""
    root = tmp_path_factory.mktemp("verified")
    folders = {"members": tiles[:MEMBERS], "controls": tiles[MEMBERS : MEMBERS + CONTROLS]}
    for name, images in folders.items():
        (root / name).mkdir()
        for k, image in enumerate(images):
            PillowImage.fromarray(image).save(root / name / f"secret-{k:03d}.png")
    result = scan(
        ScanConfig(
            model=f"closed-form:{root / 'members'}",
            dataset=str(root / "members"),
            controls=str(root / "controls"),
            out=str(root / "run"),
            index=str(root / "index"),
            embedder="pixels",
            noise=Noise(levels=2, draws=1),
            steps=2,
            shard_size=32,
            device="cpu",
        )
    )
    return Finished(root / "run", root / "members", root / "controls", result.digest)


@pytest.fixture
def run(finished: Finished, tmp_path: Path) -> Path:
    """A copy of the run, which may be changed."""
    return Path(shutil.copytree(finished.run, tmp_path / "run"))


@pytest.fixture(scope="session")
def evidence(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its evidence.zip."""
    out = tmp_path_factory.mktemp("evidence")
    report(ReportConfig(runs=(str(finished.run),), out=str(out), evidence=True))
    return out / "evidence.zip"


@pytest.fixture(scope="session")
def redacted(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its evidence.zip without names and pictures."""
    out = tmp_path_factory.mktemp("redacted")
    report(ReportConfig(runs=(str(finished.run),), out=str(out), evidence=True, redact=True))
    return out / "evidence.zip"

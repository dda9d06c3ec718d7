"""The command in process, on few small images."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

import memaudit.audit  # noqa: F401  imported once, before anything is timed or forbidden
from memaudit.cli import main
from memaudit.records import Image

NOBODY = 65534  # a user that may do nothing
QUICK = (
    "--embedder",
    "pixels",
    "--levels",
    "2",
    "--draws",
    "1",
    "--steps",
    "2",
    "--attacks",
    "none",
)


@dataclass(frozen=True)
class Finished:
    """What a command left behind."""

    code: int
    out: str
    err: str


Command = Callable[..., Finished]


@pytest.fixture
def memaudit_command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run `memaudit ...` in this process."""

    def run(*words: object) -> Finished:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(word) for word in words])
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        assert isinstance(left.value.code, int)
        return Finished(left.value.code, said.out, said.err)

    return run


@pytest.fixture
def scan(memaudit_command: Command, members: Path, tmp_path: Path) -> Command:
    """Scan the perfect memorizer of the members, quickly: `scan(dataset, *options)`."""

    def run(dataset: object, *options: object) -> Finished:
        out = () if "--out" in options else ("--out", tmp_path / "run")
        return memaudit_command("scan", f"closed-form:{members}", dataset, *QUICK, *out, *options)

    return run


@pytest.fixture
def members(write_folder: Callable[[str, list[Image]], Path], tiles: list[Image]) -> Path:
    """Six images."""
    return write_folder("members", tiles[:6])


@pytest.fixture
def controls(write_folder: Callable[[str, list[Image]], Path], tiles: list[Image]) -> Path:
    """As many others as a verdict needs, and some more."""
    return write_folder("controls", tiles[6:50])


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every user reaches, unlike those of pytest."""
    with TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


@pytest.fixture
def as_nobody() -> Iterator[Callable[[], None]]:
    """Permissions mean nothing to root: act as nobody from here on."""
    user = os.geteuid()
    yield lambda: os.seteuid(NOBODY) if user == 0 else None
    os.seteuid(user)

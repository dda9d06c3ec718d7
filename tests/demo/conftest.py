"""The demo's split, which takes seconds to draw, and its images as the command writes them."""

import io
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from memaudit.cli import main
from memaudit.demo.tiles import Tile, split_tiles


@pytest.fixture(scope="session")
def split() -> dict[str, list[Tile]]:
    """Members, controls and others of the demo."""
    return split_tiles()


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of `memaudit demo --images-only`, and what the command printed."""
    root, printed = tmp_path_factory.mktemp("demo"), io.StringIO()
    with redirect_stdout(printed), pytest.raises(SystemExit) as left:
        main(["demo", "--images-only", "--out", str(root)])
    assert left.value.code == 0
    return root, printed.getvalue()

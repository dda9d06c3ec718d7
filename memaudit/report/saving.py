"""Figures of matplotlib, written whole and the same each time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from warnings import catch_warnings, simplefilter

from memaudit.files import in_place
from memaudit.progress import remark

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save(figure: Figure, *paths: Path) -> None:
    """Write a figure, as PNG or SVG by the names of the files; what matplotlib warns of is said."""
    from matplotlib import rc_context

    # Ids of an SVG file are random without the salt.
    with catch_warnings(record=True) as said, rc_context({"svg.hashsalt": "memaudit"}):
        simplefilter("always")
        for path in paths:
            kind = path.suffix.lower().removeprefix(".")
            undated = {"Date": None} if kind == "svg" else {}
            with in_place(path) as temporary:
                figure.savefig(temporary, format=kind, dpi=110, metadata=undated)
    for text in dict.fromkeys(str(one.message) for one in said):
        remark(f"{paths[0].stem}: {text}")


def plain(name: str) -> str:
    """Keep matplotlib from reading dollar signs of a name as mathematics."""
    return name.replace("$", r"\$")

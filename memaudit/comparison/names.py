"""What runs are called beside each other: the part of their paths in which they differ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def short_names(paths: Sequence[str]) -> dict[str, str]:
    """Leave out the folders that all paths begin or end with; whole paths where that is no name."""
    parts = [list(Path(path).parts) for path in paths]
    for end in (0, -1):
        while all(len(one) > 1 for one in parts) and len({one[end] for one in parts}) == 1:
            for one in parts:
                del one[end]
    names = [str(Path(*one)) for one in parts]
    return dict(zip(paths, names if len(set(names)) == len(names) else paths, strict=True))

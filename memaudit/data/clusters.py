"""Whether every image is told which cluster it belongs to."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from memaudit.data.source import FOLDER, Damage, Entry
from memaudit.errors import DataError


def check_clusters(entries: Iterable[Entry], column: str | None, root: Path) -> None:
    """Raise DataError for images without a cluster, where a column of clusters is asked for.

    They are refused rather than taken for clusters of their own: images that belong together would
    count as independent evidence, and p-values would be too small.
    """
    if column is None:
        return
    without = [one for one in entries if not one.cluster and not isinstance(one.key, Damage)]
    if not without:
        return
    first = without[0].source
    if column == FOLDER:
        raise DataError(
            f"{len(without)} images of {root} lie in no folder of their own (the first: {first}), "
            f"and --cluster-column {FOLDER} takes the folder of each image for its cluster. Put "
            "every image into the folder of its cluster, one that belongs with no other into a "
            "folder of its own, or name a column"
        )
    raise DataError(
        f"{len(without)} images of {root} have no value of {column!r} (the first: {first}), and "
        "--cluster-column takes it for the cluster of each image. Give every image a value, one "
        "that belongs with no other a value of its own"
    )

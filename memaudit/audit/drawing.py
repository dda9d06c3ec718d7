"""What is drawn in a split, and the draw."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from memaudit.errors import DataError

Units = NDArray[np.int64]  # [N]: the unit of each row


def join(table: pd.DataFrame, columns: Iterable[str]) -> Units:
    """Number the units of a table's rows: rows that share a value of any column are of one unit.

    Rows are joined through others, too: two clusters that share a near copy are one unit.
    """
    rows, values, after = [], [], len(table)
    for column in columns:
        codes, names = pd.factorize(table[column])
        rows.append(np.arange(len(table)))
        values.append(codes + after)
        after += len(names)
    edges = (np.concatenate(rows), np.concatenate(values))
    graph = coo_array((np.ones(len(edges[0]), np.int8), edges), shape=(after, after))
    _, labels = connected_components(graph, directed=False)
    units: Units = np.unique(labels[: len(table)], return_inverse=True)[1].astype(np.int64)
    return units


def draw(units: Units, example_ids: pd.Series[str], count: int, seed: int) -> NDArray[np.bool_]:
    """Draw `count` units; tells for each row whether its unit is drawn.

    Every set of so many units is equally likely, whatever their sizes. A unit is known by the
    smallest of its example_ids, so that neither names nor the order of files have a part in it.
    Raises DataError unless some units are left.
    """
    names = pd.Series(example_ids.to_numpy()).groupby(units).min()
    if count >= len(names):
        raise DataError(
            f"found {len(names)} clusters or groups of near copies to draw from, and {count} of "
            "them are asked for as controls, which leaves no members; ask for fewer"
        )
    ranks = names.map(lambda name: hashlib.sha256(f"{seed}|{name}".encode()).hexdigest())
    drawn = ranks.sort_values().index[:count]
    return np.isin(units, drawn.to_numpy())

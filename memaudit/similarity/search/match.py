"""What the index says of reconstructions whose sources are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memaudit.records import Matches, Vectors
from memaudit.similarity.search.index import Index, check_vectors, cosine

# float32 sums of products of unit vectors err by far less than this; closer pairs are re-scored.
SLACK = 1e-5
LARGEST_GROUP = 1000  # FAISS on a GPU finds at most 2048 neighbours
SPARE = 8  # neighbours beyond the wanted ones, so that ties seldom reach the end of the list
SIMILARITIES_AT_ONCE = 2**26  # 256 MiB


@dataclass(frozen=True)
class _Query:
    vector: Vectors  # [D]
    own: np.float32
    group: np.int64


@dataclass(frozen=True)
class _Found:
    rank: int
    ids: list[str]
    similarities: list[float]


def match(
    index: Index,
    queries: Vectors,
    own_positions: NDArray[np.int64],
    neighbours: int = 1,
) -> Matches:
    """Compare B reconstructions with their sources and with all others.

    `queries` are unit vectors [B, D], `own_positions` [B] the sources' positions in the index.
    Pairs are scored in float64 and rounded to 1e-6, ties break by id, the source's whole duplicate
    group is left out. Fewer than `neighbours` others: "" and NaN. NaN in a query raises
    DependencyError.
    """
    check_vectors(queries, index.flat.d, "queries")
    own = cosine(queries, index.vectors[own_positions])
    asked = [
        _Query(*values) for values in zip(queries, own, index.groups[own_positions], strict=True)
    ]
    found = _find(index, asked, own_positions, neighbours)
    return Matches(
        own=own,
        own_rank=np.array([one.rank for one in found], np.int64),
        neighbour_ids=[one.ids for one in found],
        neighbours=np.array([one.similarities for one in found], np.float32).reshape(
            len(found), neighbours
        ),
    )


def _find(
    index: Index, asked: list[_Query], own_positions: NDArray[np.int64], neighbours: int
) -> list[_Found]:
    """Answer each query from its nearest few where they settle it, else from all of the index."""
    if not asked:
        return []
    group = min(int(index.group_sizes[own_positions].max()), LARGEST_GROUP)
    k = min(len(index.ids), neighbours + group + SPARE)
    queries = np.stack([query.vector for query in asked])
    positions, similarities = index.backend.search(queries, k)
    found = [
        _settle(index, query, near, approximate, neighbours)
        for query, near, approximate in zip(asked, positions, similarities, strict=True)
    ]
    open_rows = [row for row, answer in enumerate(found) if answer is None]
    step = max(1, SIMILARITIES_AT_ONCE // len(index.ids))
    everywhere = np.arange(len(index.ids))
    for start in range(0, len(open_rows), step):
        rows = open_rows[start : start + step]
        for row, approximate in zip(rows, index.backend.products(queries[rows]), strict=True):
            found[row] = _settle(index, asked[row], everywhere, approximate, neighbours)
    return [answer for answer in found if answer is not None]


def _settle(
    index: Index,
    query: _Query,
    positions: NDArray[np.int64],
    approximate: NDArray[np.float32],
    neighbours: int,
) -> _Found | None:
    """Rank the source and name its nearest others among `positions`; None if they are too few.

    What lies outside `positions` is at most as similar as the least similar of them.
    """
    floor = -np.inf if len(positions) == len(index.ids) else approximate.min()
    outside = index.groups[positions] != query.group
    positions, approximate = positions[outside], approximate[outside]
    wanted = min(neighbours, len(approximate))
    last = np.partition(approximate, -wanted)[-wanted] if wanted else np.float32(np.inf)
    enough = wanted == neighbours or floor == -np.inf
    if not enough or min(last, query.own) <= floor + 2 * SLACK:
        return None
    rank = _rank(index, query, positions, approximate)
    near = positions[approximate >= last - 2 * SLACK]
    exact = cosine(query.vector[None], index.vectors[near])
    order = sorted(zip(-exact, (index.ids[position] for position in near), strict=True))[:wanted]
    blank = neighbours - wanted
    return _Found(
        rank=rank,
        ids=[example_id for _, example_id in order] + [""] * blank,
        similarities=[float(-negative) for negative, _ in order] + [np.nan] * blank,
    )


def _rank(
    index: Index,
    query: _Query,
    positions: NDArray[np.int64],
    approximate: NDArray[np.float32],
) -> int:
    """1 + how many of `positions` are nearer than the source."""
    unsure = positions[np.abs(approximate - query.own) <= SLACK]
    nearer = np.count_nonzero(approximate > query.own + np.float32(SLACK))
    exact = cosine(query.vector[None], index.vectors[unsure])
    return 1 + int(nearer) + int(np.count_nonzero(exact > query.own))

"""Near copies in an index, grouped."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from memaudit.similarity.search.index import Index, cosine

BLOCK = 1024
PAIRS_AT_ONCE = 4096
SLACK = 1e-5  # float32 products closer than this to the threshold are summed again in float64


def group_duplicates(index: Index, threshold: float) -> NDArray[np.int64]:
    """Group the pairs of cosine >= threshold, and what they connect: int64 [N].

    A group's number is the position of its smallest id, so the groups do not depend on the order
    of the positions. Exact and quadratic in time; memory is bounded by the block.
    """
    labels = np.arange(len(index.ids))
    for start in range(0, len(labels), BLOCK):
        for other in range(start, len(labels), BLOCK):
            left, right = _similar_pairs(index, start, other, threshold)
            if (labels[left] != labels[right]).any():
                labels = _merge(labels, left, right)
    return _name_by_smallest_id(labels, index.ids)


def _similar_pairs(
    index: Index, start: int, other: int, threshold: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    vectors = index.vectors
    approximate = vectors[start : start + BLOCK] @ vectors[other : other + BLOCK].T
    left, right = np.nonzero(approximate >= threshold - SLACK)
    similar = approximate[left, right] > threshold + SLACK
    left, right = left + start, right + other
    unsure = np.flatnonzero(~similar & (left < right))
    for pairs in np.split(unsure, range(PAIRS_AT_ONCE, len(unsure), PAIRS_AT_ONCE)):
        exact = cosine(vectors[left[pairs]], vectors[right[pairs]])
        similar[pairs] = exact >= np.float32(threshold)
    return left[similar], right[similar]


def _merge(
    labels: NDArray[np.int64], left: NDArray[np.int64], right: NDArray[np.int64]
) -> NDArray[np.int64]:
    edges = (np.ones(len(left), np.bool_), (labels[left], labels[right]))
    _, components = connected_components(coo_array(edges, shape=(len(labels),) * 2), directed=False)
    merged: NDArray[np.int64] = components.astype(np.int64)[labels]
    return merged


def _name_by_smallest_id(labels: NDArray[np.int64], ids: list[str]) -> NDArray[np.int64]:
    by_id = np.array(sorted(range(len(ids)), key=ids.__getitem__), np.int64)
    _, first, members = np.unique(labels[by_id], return_index=True, return_inverse=True)
    named = np.empty_like(labels)
    named[by_id] = by_id[first][members]
    return named

"""The index: ids, unit vectors and duplicate groups, position by position."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated

import faiss
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from memaudit.config import AlphaPolicy, ResizePolicy
from memaudit.errors import DependencyError
from memaudit.records import Vectors
from memaudit.similarity.search.backend import Backend, Neighbours, choose_backend, view_vectors

UNIT_TOLERANCE = 1e-3
OWN_SIZE = "own size"
Resolution = Annotated[str, Field(pattern=rf"^({OWN_SIZE}|[1-9]\d{{0,4}}x[1-9]\d{{0,4}})$")]


@dataclass(frozen=True)
class IndexMeta:
    """What the vectors of an index were made from; two indices compare only where this agrees."""

    embedder: str  # as typed, for messages; the digest decides
    digest: str  # of the embedder's weights and preprocessing
    fingerprint: str  # of the data
    resolution: Resolution  # in pixels before embedding
    resize: ResizePolicy
    alpha: AlphaPolicy = "white"  # what transparent pixels became
    version: int = 5  # of the layout on disk


@dataclass(frozen=True, eq=False)
class Index:
    """Unique ids and their unit vectors in an exact FAISS index.

    `groups` holds a non-negative number per position; equal numbers are near copies.
    """

    ids: list[str]
    flat: faiss.IndexFlatIP
    meta: IndexMeta
    backend: Backend
    groups: NDArray[np.int64] = field(repr=False)

    @classmethod
    def create(
        cls, ids: list[str], flat: faiss.IndexFlatIP, meta: IndexMeta, device: str = "cpu"
    ) -> Index:
        """Wrap a filled FAISS index; every position is a group of its own at first."""
        return cls(ids, flat, meta, choose_backend(flat, device), np.arange(len(ids)))

    @cached_property
    def vectors(self) -> Vectors:
        """The vectors, [N, D], in the index's own memory."""
        return view_vectors(self.flat)

    @cached_property
    def positions(self) -> dict[str, int]:
        """Position of every id."""
        return {example_id: position for position, example_id in enumerate(self.ids)}

    @cached_property
    def group_sizes(self) -> NDArray[np.int64]:
        """Members of the group of every position: [N]."""
        return np.bincount(self.groups)[self.groups]

    def with_groups(self, groups: NDArray[np.int64]) -> Index:
        """Return the same index with other duplicate groups, one number per position."""
        if groups.shape != (len(self.ids),):
            raise ValueError(f"groups: found shape {groups.shape}, expected ({len(self.ids)},)")
        return replace(self, groups=groups)

    def search(self, queries: Vectors, k: int) -> Neighbours:
        """Find the exact k nearest: positions and similarities, both [B, min(k, N)].

        Queries are unit vectors [B, D]; NaN or infinity raises DependencyError.
        """
        check_vectors(queries, self.flat.d, "queries")
        return self.backend.search(queries, min(k, len(self.ids)))


def check_vectors(vectors: Vectors, dim: int, what: str) -> None:
    """Raise DependencyError unless [N, dim], finite and of unit length.

    FAISS answers a NaN query with position -1 and says nothing.
    """
    if vectors.ndim != 2 or vectors.shape[1] != dim:
        raise DependencyError(
            f"The {what} have shape {vectors.shape}, expected [N, {dim}]: they come from another "
            "embedder than the index. Use one embedder for both."
        )
    lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
    broken = np.flatnonzero(~(np.abs(lengths - 1) <= UNIT_TOLERANCE))  # NaN compares false
    if broken.size:
        raise DependencyError(
            f"{broken.size} of {len(vectors)} {what} have no unit length (first: row {broken[0]}, "
            f"length {lengths[broken[0]]}), expected finite unit vectors. The embedder is at "
            "fault: fetch its weights again, or choose another."
        )


def cosine(left: Vectors, right: Vectors) -> NDArray[np.float32]:
    """Cosine of the rows of two [N, D] arrays of unit vectors, summed in float64.

    Rounded to 1e-6: equal vectors give exactly 1, whatever the batch or the order of summation.
    One side may be a single row [1, D].
    """
    exact = np.einsum("nd,nd->n", left, right, dtype=np.float64)
    rounded: NDArray[np.float32] = exact.round(6).astype(np.float32)
    return rounded

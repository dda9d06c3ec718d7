"""What every embedder is, and the rules all of them share."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from memaudit.errors import DependencyError
from memaudit.records import Image, Vectors

Images = Sequence[Image] | NDArray[np.uint8]  # HWC each, sizes may differ; or one NHWC array
Patches = NDArray[np.float32]  # [N, rows, columns, D], unit length


class Embedder(Protocol):
    """Images in, unit vectors out; the same image gives the same vector in any batch."""

    @property
    def name(self) -> str:
        """The embedder as the user typed it, e.g. `sscd` or `dinov2:folder`."""

    @property
    def dim(self) -> int:
        """Length of a vector."""

    @property
    def digest(self) -> str:
        """Sha256 over the weights and the preprocessing: equal digests, equal vectors."""

    @property
    def copy_threshold(self) -> float:
        """Cosine from which a reconstruction counts as a copy of its source."""

    @property
    def duplicate_threshold(self) -> float:
        """Cosine from which two data set images count as near copies of each other."""

    def embed(self, images: Images) -> Vectors:
        """Embed RGB images: float32 [N, D] of unit length.

        An image without content (an all-zero vector before normalising) becomes the first basis
        vector. Raises DependencyError where the network returns NaN or infinity.
        """


@runtime_checkable
class PatchEmbedder(Protocol):
    """What some embedders can do beside: a vector of each patch of an image."""

    def patches(self, images: Images) -> Patches:
        """Embed the patches of RGB images: float32 [N, rows, columns, D] of unit length.

        They divide any image evenly into as many rows and columns; each sees the whole image, but
        is of what lies there. Raises DependencyError where the network returns NaN or infinity.
        """


def unit_vectors(raw: NDArray[np.floating], embedder: str) -> Vectors:
    """Normalise [N, ..., D] to unit length; a zero vector becomes the first basis vector."""
    broken = np.flatnonzero(~np.isfinite(raw).all(axis=tuple(range(1, raw.ndim))))
    if broken.size:
        raise DependencyError(
            f"The embedder {embedder} returned NaN or infinity for {broken.size} of {len(raw)} "
            f"images (first: number {broken[0]} of the batch), expected finite numbers. "
            "Its weights are damaged or overflow: fetch them again, or choose another embedder."
        )
    vectors = raw.astype(np.float64)
    vectors[~vectors.any(axis=-1), 0] = 1.0
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors.astype(np.float32)


def embedder_digest(preprocessing: str, files: Sequence[Path] = ()) -> str:
    """Sha256 (hex) over a description of the preprocessing and the bytes of the files."""
    digest = hashlib.sha256(preprocessing.encode())
    for file in files:
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()

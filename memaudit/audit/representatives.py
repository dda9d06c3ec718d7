"""Which image stands for a group of duplicates, and what its embedding says of its look."""

from __future__ import annotations

import hashlib
from collections.abc import Collection

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memaudit.records import Vectors
from memaudit.similarity.search import Index

LOSSLESS = ("PNG", "BMP", "TIFF", "PPM", "TGA", "QOI")  # formats; the others may have lost detail
DIGITS = 5  # of a cosine
LOOKS = 16  # principal components of the embeddings
FLAT = 1e-6  # of the largest spread: no direction, but what arithmetic leaves
SAMPLED = 20_000  # images that the components are taken from, those with the smallest ids


def representatives(table: pd.DataFrame, index: Index) -> pd.Series[bool]:
    """Choose one row of each group, from files and pixels alone.

    Lossless before lossy, larger before smaller, the format that more images of the pool have (or
    a copy in another one would make the sides differ), nearer to the mean embedding of the group,
    then the smaller id; rows of the same pixels in a random order that no side decides. So no score
    and no label has a part in it, and how many images of a group are scored never depends on its
    size.
    """
    order = pd.DataFrame(
        {
            "group": table["group"],
            "lossy": ~table["format"].isin(LOSSLESS),
            "size": -table["width"] * table["height"],
            "rare": -table.groupby("format")["format"].transform("size"),
            "far": -_nearness(table, index),
            "example_id": table["example_id"],
            "drawn": [_hash(source) for source in table["source"]],
            "coin": _coins(table),
        }
    ).sort_values(["lossy", "size", "rare", "far", "example_id", "drawn", "coin"], kind="stable")
    chosen: pd.Series[bool] = ~order["group"].duplicated().reindex(table.index)
    return chosen


def looks(index: Index, chosen: Collection[str]) -> pd.DataFrame:
    """Principal components of the embeddings, [ids, LOOKS], named look_00 and so on.

    They say what a picture shows, in a few numbers of which no side is known. The components are
    those of the `chosen` ids, one of each group: copies would turn them towards what is copied.
    """
    ids = pd.Index(index.ids)
    sampled = [index.positions[name] for name in sorted(chosen)[:SAMPLED]]
    sample = index.vectors[sampled].astype(np.float64)
    mean = sample.mean(axis=0)
    axes = _axes(sample - mean)
    found = (index.vectors - mean.astype(np.float32)) @ axes.astype(np.float32)
    return pd.DataFrame(
        found.round(DIGITS), index=ids, columns=[f"look_{k:02}" for k in range(found.shape[1])]
    )


def _axes(centred: NDArray[np.float64]) -> NDArray[np.float64]:
    """Directions [D, LOOKS] in which [N, D] vary most; zeros where they do not vary any more.

    The smaller of the two matrices of products has them: of N images, or of D numbers of each.
    """
    by_image = centred.shape[0] < centred.shape[1]
    products = centred @ centred.T if by_image else centred.T @ centred
    axes = np.linalg.eigh(products)[1][:, ::-1][:, :LOOKS]
    axes = centred.T @ axes if by_image else axes
    lengths = np.linalg.norm(axes, axis=0)
    kept = axes[:, lengths > FLAT * lengths.max()]
    kept = kept / np.linalg.norm(kept, axis=0)
    kept *= np.sign(kept[np.abs(kept).argmax(axis=0), np.arange(kept.shape[1])])
    missing = min(LOOKS, centred.shape[1]) - kept.shape[1]
    return np.pad(kept, ((0, 0), (0, missing)))


def _nearness(table: pd.DataFrame, index: Index) -> NDArray[np.float64]:
    """Cosine of each row with the mean embedding of its group; 1 where a group has one image."""
    nearness = np.ones(len(table))
    several = table.groupby("group")["example_id"].transform("nunique").to_numpy() > 1
    rows = np.flatnonzero(several)
    if not len(rows):
        return nearness
    positions = [index.positions[name] for name in table["example_id"].iloc[rows]]
    vectors: Vectors = index.vectors[positions]
    groups = np.unique(table["group"].iloc[rows], return_inverse=True)[1]
    means = np.zeros((groups.max() + 1, vectors.shape[1]))
    np.add.at(means, groups, vectors)
    means /= np.linalg.norm(means, axis=1, keepdims=True).clip(1e-12)
    nearness[rows] = np.einsum("nd,nd->n", vectors.astype(np.float64), means[groups]).round(DIGITS)
    return nearness


def _hash(source: str) -> str:
    return hashlib.sha256(source.encode(errors="surrogateescape")).hexdigest()


def _coins(table: pd.DataFrame) -> NDArray[np.bool_]:
    """Whether a row comes second to one of the other side with the same pixels and name."""
    heads = np.array([int(name[-1], 16) % 2 == 1 for name in table["example_id"]], dtype=np.bool_)
    second: NDArray[np.bool_] = heads == (table["split"] == "member").to_numpy(np.bool_)
    return second

"""Where inner products are computed: FAISS on the CPU or a GPU, or torch."""

from __future__ import annotations

from typing import Protocol

import faiss
import numpy as np
import torch
from numpy.typing import NDArray

from memaudit.records import Vectors

Neighbours = tuple[NDArray[np.int64], NDArray[np.float32]]  # positions, similarities: [B, k]

BLOCK = 65_536  # rows of the index per product: 8 MiB of similarities for 32 queries

# FAISS multiplies matrices only from so many queries on, and builds differ in their default (20,
# 128,000). Measured on 10,000 x 3072: 32 queries take 226 ms one by one, 40 ms as a product.
faiss.cvar.distance_compute_blas_threshold = 4


class Backend(Protocol):
    """Exact products of queries with all vectors of an index."""

    def search(self, queries: Vectors, k: int) -> Neighbours:
        """Return the k most similar positions of each query, most similar first."""

    def products(self, queries: Vectors) -> NDArray[np.float32]:
        """Return all similarities: [B, N]."""


class FaissBackend:
    """FAISS's flat index; its copy on a GPU where a GPU build of FAISS is installed."""

    def __init__(self, flat: faiss.IndexFlatIP, device: str = "cpu"):
        self._vectors = view_vectors(flat)
        self._index: faiss.Index = flat
        if device.startswith("cuda"):
            number = torch.device(device).index or 0
            self._resources = faiss.StandardGpuResources()
            self._index = faiss.index_cpu_to_gpu(self._resources, number, flat)

    def search(self, queries: Vectors, k: int) -> Neighbours:
        """Return the k most similar positions of each query, most similar first."""
        similarities, positions = self._index.search(np.ascontiguousarray(queries), k)
        return positions, similarities

    def products(self, queries: Vectors) -> NDArray[np.float32]:
        """Return all similarities: [B, N]."""
        # By torch: a second pool of BLAS threads would fight with the one of the network.
        product = (
            torch.from_numpy(np.ascontiguousarray(queries)) @ torch.from_numpy(self._vectors).T
        )
        return np.asarray(product)


class TorchBackend:
    """Blocked matrix product and top-k in torch, for GPUs without a GPU build of FAISS."""

    def __init__(self, vectors: Vectors, device: str, block: int = BLOCK):
        moved = torch.from_numpy(vectors).to(device)
        self._blocks = [moved[start : start + block] for start in range(0, len(moved), block)]
        self._device = device

    def search(self, queries: Vectors, k: int) -> Neighbours:
        """Return the k most similar positions of each query, most similar first."""
        moved = torch.from_numpy(queries).to(self._device)
        best = torch.empty((len(queries), 0), device=self._device)
        where = torch.empty((len(queries), 0), dtype=torch.int64, device=self._device)
        start = 0
        for block in self._blocks:
            found, rows = (moved @ block.T).topk(min(k, len(block)))
            best, order = torch.cat([best, found], 1).topk(min(k, best.shape[1] + found.shape[1]))
            where = torch.cat([where, rows + start], 1).gather(1, order)
            start += len(block)
        return where.cpu().numpy(), best.cpu().numpy()

    def products(self, queries: Vectors) -> NDArray[np.float32]:
        """Return all similarities: [B, N]."""
        moved = torch.from_numpy(queries).to(self._device)
        found = np.concatenate([(moved @ block.T).cpu().numpy() for block in self._blocks], axis=1)
        return found.astype(np.float32, copy=False)


def choose_backend(flat: faiss.IndexFlatIP, device: str) -> Backend:
    """FAISS, except on a GPU that this build of FAISS cannot use."""
    gpu_build = hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus() > 0
    if device.startswith("cuda") and not gpu_build:
        return TorchBackend(view_vectors(flat), device)
    return FaissBackend(flat, device)


def view_vectors(flat: faiss.IndexFlatIP) -> Vectors:
    """Return the index's own memory as [N, D], without a copy; it lives as long as the index."""
    memory = faiss.rev_swig_ptr(flat.get_xb(), flat.ntotal * flat.d)
    vectors: Vectors = memory.reshape(flat.ntotal, flat.d)
    return vectors

"""Embedders that are a torch network behind a preprocessing function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from memaudit.errors import ConfigError
from memaudit.records import Image, Vectors
from memaudit.similarity.embed.base import Images, Patches, unit_vectors


@dataclass(frozen=True)
class NetworkEmbedder:
    """A network in evaluation mode, in float32 on any device."""

    name: str
    dim: int
    digest: str
    copy_threshold: float
    duplicate_threshold: float
    device: str
    preprocess: Callable[[Image], Tensor]  # HWC uint8 -> CHW float32, one size for all
    encode: Callable[[Tensor], Tensor]  # [N, C, H, W] -> [N, D]

    @torch.inference_mode()
    def embed(self, images: Images) -> Vectors:
        """Embed RGB images: float32 [N, D] of unit length."""
        if len(images) == 0:
            return np.empty((0, self.dim), np.float32)
        return unit_vectors(self.encode(self._batch(images)).float().cpu().numpy(), self.name)

    def _batch(self, images: Images) -> Tensor:
        return torch.stack([self.preprocess(image) for image in images]).to(self.device)


@dataclass(frozen=True)
class PatchNetworkEmbedder(NetworkEmbedder):
    """A network that has vectors of the patches of an image, too."""

    grid: tuple[int, int]  # rows and columns of patches
    encode_patches: Callable[[Tensor], Tensor]  # [N, C, H, W] -> [N, rows * columns, D]

    @torch.inference_mode()
    def patches(self, images: Images) -> Patches:
        """Embed the patches of RGB images: float32 [N, rows, columns, D] of unit length."""
        if len(images) == 0:
            return np.empty((0, *self.grid, self.dim), np.float32)
        raw = self.encode_patches(self._batch(images)).float().cpu().numpy()
        return unit_vectors(raw.reshape(len(images), *self.grid, -1), self.name)


def refuse_pickle(path: Path) -> None:
    """Raise ConfigError unless the file is `.safetensors`: a pickle can run code when opened."""
    if path.suffix != ".safetensors":
        raise ConfigError(
            f"{path} is not a .safetensors file, and embedder weights are read from no other "
            "kind: a pickled checkpoint can run code. Convert it with memaudit convert and pass "
            "the result."
        )

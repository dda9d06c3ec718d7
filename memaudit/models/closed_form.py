"""The perfect memorizer: the exact posterior mean over a finite set of images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from memaudit.config import CLOSED_FORM
from memaudit.errors import ConfigError
from memaudit.models.denoiser import Denoiser, decode_pixels, encode_pixels, per_row

BLOCK = 4096  # images converted to float64 at a time


@dataclass(frozen=True, eq=False)
class ClosedForm:
    """D(x, sigma) = sum_i w_i x_i with w = softmax_i(-|x - x_i|^2 / (2 sigma^2)).

    The minimiser of the denoising loss over a finite set (Karras et al. 2022, eq. 57, arXiv
    2206.00364): what any model that memorized exactly these images would answer. `images` is
    [N, C, H, W] float32 in [-1, 1]; sums run in float64.
    """

    images: Tensor
    sigma_min: float = 1e-3
    sigma_max: float = 1e4
    estimate: Literal["mean", "sample"] = "mean"

    @property
    def shape(self) -> tuple[int, int, int]:
        """C, H, W of the images."""
        _, c, h, w = self.images.shape
        return c, h, w

    @property
    def resolution(self) -> tuple[int, int]:
        """Height and width of the images."""
        return self.shape[1:]

    @property
    def device(self) -> torch.device:
        """Where the images are."""
        return self.images.device

    def encode(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] uint8 -> [B, C, H, W] in [-1, 1]."""
        return encode_pixels(images.to(self.device), self.shape[0])

    def decode(self, x: Tensor) -> Tensor:
        """[B, C, H, W] in [-1, 1] -> [B, 3, H, W] uint8."""
        return decode_pixels(x)

    def denoise(self, x: Tensor, sigma: Tensor, prompts: Sequence[str] = ()) -> Tensor:  # noqa: ARG002
        """The exact posterior mean under the empirical distribution of the images."""
        flat = x.flatten(1).double()
        logits = torch.cat([self._distances(flat, block) for block in self._blocks()], dim=1)
        weights = torch.softmax(-logits / (2 * per_row(sigma.double(), flat) ** 2), dim=1)
        mean = torch.zeros_like(flat)
        for k, block in enumerate(self._blocks()):
            mean += weights[:, k * BLOCK : k * BLOCK + len(block)] @ block.double()
        return mean.float().view_as(x)

    def sigma_of_timestep(self, timestep: int) -> float:
        """The perfect memorizer has no schedule."""
        raise ConfigError(
            f"--timestep {timestep} needs a model with a schedule, and {CLOSED_FORM} has none; "
            "give --sigma or --snr-db"
        )

    def misreadings(self) -> Iterator[tuple[str, Denoiser]]:
        """Nothing is read, so nothing can be misread."""
        return iter(())

    def _blocks(self) -> tuple[Tensor, ...]:
        flat = self.images.flatten(1)
        return tuple(flat[k : k + BLOCK] for k in range(0, len(flat), BLOCK))

    @staticmethod
    def _distances(flat: Tensor, block: Tensor) -> Tensor:
        images = block.double()
        squares = (flat**2).sum(1, keepdim=True) + (images**2).sum(1)
        return squares - 2 * flat @ images.T

"""Inpainting models over latents: they are told which part is hidden, and what the rest shows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from memaudit.corruption.linear import Seen
from memaudit.models.codec import GREY
from memaudit.models.denoiser import Told
from memaudit.models.latent import LatentDenoiser


@dataclass(frozen=True, eq=False, kw_only=True)
class InpaintingDenoiser(LatentDenoiser):
    """A UNet that sees beside the noisy latents [B, C, h, w] a mask and the masked image's latents.

    As Rombach et al. 2022 (arXiv 2112.10752, appendix) and the pipelines of diffusers have it: the
    mask is 1 where the image is hidden, and the latents are of the image with grey there. Until it
    is told what is seen, all of the image is hidden.
    """

    beside: Tensor | None = None

    def given(self, seen: Seen) -> Told | None:
        """The same model, told what is seen of each of its images; None where noise covers that.

        It was trained on masked images without noise.
        """
        if seen.covered:
            return None
        encoded = self._of_nothing.expand_as(seen.y) if seen.encoded is None else seen.encoded
        return replace(self, beside=torch.cat([1 - seen.view.gain, encoded], dim=1))

    def sigma_at(self, strength: float) -> float:
        """The noise at that share of its schedule, as the pipelines of diffusers count it."""
        steps = int(self.pipeline.scheduler.config.num_train_timesteps)
        return self.sigma_of_timestep(max(0, min(int(strength * steps), steps - 1) - 1))

    def _shown(self, x_t: Tensor) -> Tensor:
        beside = self.beside
        if beside is None:
            hidden = torch.ones_like(self._of_nothing[:, :1])
            beside = torch.cat([hidden, self._of_nothing], dim=1)
        return torch.cat([x_t, beside.to(x_t).expand(len(x_t), -1, -1, -1)], dim=1)

    @cached_property
    def _of_nothing(self) -> Tensor:
        """The latents of a grey image, [1, C, h, w]."""
        return self.encode(torch.full((1, 3, *self.resolution), GREY, dtype=torch.uint8))

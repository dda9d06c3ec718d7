"""Unconditional latent diffusion (Rombach et al. 2022, arXiv 2112.10752): nothing is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from diffusers import AutoencoderKL, LDMPipeline, UNet2DModel, VQModel
from torch import Tensor

from memaudit.models.denoiser import Conditioning
from memaudit.models.latent import Backbone, Told
from memaudit.models.parameterization import variance_preserving
from memaudit.models.pipelines import family_of
from memaudit.models.recipe import Recipe
from memaudit.models.vae import KlVae, Vae, scaling


@dataclass(frozen=True, eq=False)
class QuantizedVae:
    """A VQModel: the model works on latents before they are rounded to the codebook."""

    module: Any

    @property
    def channels(self) -> int:
        """Of a latent."""
        return int(self.module.config.latent_channels)

    @property
    def factor(self) -> int:
        """Each block but one halves a side."""
        return int(2 ** (len(self.module.config.block_out_channels) - 1))

    @property
    def centre(self) -> Tensor:
        """Nothing is taken off."""
        return torch.tensor(0.0)

    @property
    def scale(self) -> Tensor:
        """The scaling factor."""
        return scaling(self.module)

    def encode(self, pixels: Tensor) -> Tensor:
        """The latents, not rounded."""
        return cast(Tensor, self.module.encode(pixels, return_dict=False)[0])

    def decode(self, latents: Tensor) -> Tensor:
        """The pixels of the latents rounded to the codebook."""
        return cast(Tensor, self.module.decode(latents, return_dict=False)[0])


@dataclass(frozen=True, eq=False)
class Unet(Backbone):
    """A UNet2DModel over latents."""

    @property
    def network(self) -> Any:
        """The UNet."""
        return self.pipeline.unet

    @property
    def conditioning(self) -> Conditioning:
        """It is told nothing."""
        return "none"

    def encode(self, caption: str) -> Told:  # noqa: ARG002
        """Nothing."""
        return {}

    def ask(self, x_t: Tensor, time: Tensor, told: Sequence[Told]) -> Tensor:  # noqa: ARG002
        """The UNet's answer."""
        return cast(Tensor, self.network(x_t, time, return_dict=False)[0])


def _vae(pipeline: Any) -> Vae:
    module = pipeline.vqvae
    return KlVae(module) if isinstance(module, AutoencoderKL) else QuantizedVae(module)


FAMILY = family_of(
    Recipe(
        family="latent-diffusion",
        pipeline=LDMPipeline,
        network="unet",
        parts={"unet": (UNet2DModel,), "vqvae": (VQModel, AutoencoderKL)},
        tokenizers={},
        backbone=Unet,
        vae=_vae,
        reading=lambda pipeline: variance_preserving(pipeline.scheduler.config),
        grain=lambda pipeline: int(2 ** (len(pipeline.unet.config.block_out_channels) - 1)),
    )
)

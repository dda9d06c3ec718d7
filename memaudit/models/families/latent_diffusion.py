"""Unconditional latent diffusion (Rombach et al. 2022, arXiv 2112.10752): nothing is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from diffusers import AutoencoderKL, LDMPipeline, UNet2DModel, VQModel
from torch import Tensor

from memaudit.models.denoiser import Conditioning
from memaudit.models.latent import Backbone, Told
from memaudit.models.parameterization import variance_preserving
from memaudit.models.pipelines import family_of
from memaudit.models.recipe import Recipe
from memaudit.models.vae import KlVae, PlainVae, Vae


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
    return KlVae(module) if isinstance(module, AutoencoderKL) else PlainVae(module)


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

"""The autoencoders of latent models, each as a map to latents and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from memaudit.errors import ModelError
from memaudit.models.limits import naming


class Vae(Protocol):
    """From pixels in [-1, 1] to latents, and back.

    A model works on (latents - centre) * scale, which are numbers for all channels or [C, 1, 1].
    """

    @property
    def module(self) -> Any:
        """The network of diffusers."""

    @property
    def channels(self) -> int:
        """Of a latent."""

    @property
    def factor(self) -> int:
        """How many pixels of a side make one cell of a latent."""

    @property
    def centre(self) -> Tensor:
        """What is taken off latents."""

    @property
    def scale(self) -> Tensor:
        """What they are multiplied by after that."""

    def encode(self, pixels: Tensor) -> Tensor:
        """[B, 3, H, W] in [-1, 1] -> [B, C, h, w]; where there is a posterior, its mode."""

    def decode(self, latents: Tensor) -> Tensor:
        """[B, C, h, w] -> [B, 3, H, W]."""


@dataclass(frozen=True, eq=False)
class KlVae:
    """An AutoencoderKL (Rombach et al. 2022, arXiv 2112.10752): scaled, and sometimes shifted.

    `by_channel`: its pipeline heeds means and deviations of its channels, where they are given.
    """

    module: Any
    by_channel: bool = False

    def __post_init__(self) -> None:
        """Raise ModelError for scales that are no numbers above 0, or that nothing heeds."""
        scaling(self.module)
        mean, deviation = self._of_channels
        whole = mean is not None and deviation is not None and bool((deviation > 0).all())
        if not (mean is deviation is None or (self.by_channel and whole)):
            raise ModelError(
                "the VAE's config.json gives latents_mean and latents_std, expected none in this "
                "class of pipelines, or one number for each channel, deviations above 0; copy the "
                "model again"
            )

    @property
    def _of_channels(self) -> tuple[Tensor | None, Tensor | None]:
        """Mean and deviation of each channel, [C, 1, 1]."""
        config = self.module.config
        with naming("the VAE of the model"):
            return self._each(config.get("latents_mean")), self._each(config.get("latents_std"))

    def _each(self, values: Any) -> Tensor | None:
        return None if values is None else torch.tensor(values).float().view(self.channels, 1, 1)

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
        """The shift, or the mean of each channel."""
        mean, _ = self._of_channels
        shift = torch.tensor(float(self.module.config.get("shift_factor") or 0.0))
        return shift if mean is None else mean

    @property
    def scale(self) -> Tensor:
        """The scaling factor, over the deviation of each channel where they are given."""
        _, deviation = self._of_channels
        return scaling(self.module) if deviation is None else scaling(self.module) / deviation

    def encode(self, pixels: Tensor) -> Tensor:
        """The mode of the posterior."""
        return cast(Tensor, self.module.encode(pixels).latent_dist.mode())

    def decode(self, latents: Tensor) -> Tensor:
        """The pixels."""
        return cast(Tensor, self.module.decode(latents, return_dict=False)[0])


@dataclass(frozen=True, eq=False)
class PlainVae:
    """An autoencoder without a posterior: an AutoencoderDC, or a VQModel before it is rounded.

    `blocks` is what its configuration calls the widths of the encoder's blocks.
    """

    module: Any
    blocks: str = "block_out_channels"

    @property
    def channels(self) -> int:
        """Of a latent."""
        return int(self.module.config.latent_channels)

    @property
    def factor(self) -> int:
        """Each block but one halves a side."""
        return int(2 ** (len(self.module.config[self.blocks]) - 1))

    @property
    def centre(self) -> Tensor:
        """Nothing is taken off."""
        return torch.tensor(0.0)

    @property
    def scale(self) -> Tensor:
        """The scaling factor."""
        return scaling(self.module)

    def encode(self, pixels: Tensor) -> Tensor:
        """The latents."""
        return cast(Tensor, self.module.encode(pixels, return_dict=False)[0])

    def decode(self, latents: Tensor) -> Tensor:
        """The pixels; those of a VQModel are of latents rounded to its codebook."""
        return cast(Tensor, self.module.decode(latents, return_dict=False)[0])


def scaling(module: Any) -> Tensor:
    """The scaling factor of a VAE; raises ModelError if it is no number above 0."""
    factor = module.config.scaling_factor
    if not isinstance(factor, int | float) or not factor > 0:
        raise ModelError(
            f"the VAE's config.json gives scaling_factor {factor!r}, expected a number above 0; "
            "copy the model again"
        )
    return torch.tensor(float(factor))

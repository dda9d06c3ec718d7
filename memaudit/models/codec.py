"""From images to the space of a model and back: pixels as they are, or latents of a VAE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, Self, cast

import torch
from torch import Tensor

from memaudit.corruption.linear import Seen
from memaudit.models.limits import naming
from memaudit.models.vae import Vae

VAE = "the VAE of the model"
GREY = 128  # of a hidden pixel, where a VAE has to see something
PIXELS = 1 << 20  # in the VAE at a time, whose activations are far larger than the UNet's


class Codec(Protocol):
    """How images enter the space of a model, and leave it."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """C, H, W of the model's space."""

    @property
    def resolution(self) -> tuple[int, int]:
        """Height and width of the images."""

    def encode(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] uint8 -> [B, *shape] float32, on the model's device."""

    def decode(self, x: Tensor) -> Tensor:
        """[B, *shape] float32 -> [B, 3, H, W] uint8."""


@dataclass(frozen=True, eq=False)
class PixelCodec:
    """The space is that of the pixels, in [-1, 1]; one channel is Rec. 601 luma."""

    shape: tuple[int, int, int]
    device: torch.device

    @property
    def resolution(self) -> tuple[int, int]:
        """Height and width of the images."""
        return self.shape[1:]

    def encode(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] uint8 -> [B, C, H, W] in [-1, 1]."""
        return encode_pixels(images.to(self.device), self.shape[0])

    def decode(self, x: Tensor) -> Tensor:
        """[B, C, H, W] in [-1, 1] -> [B, 3, H, W] uint8."""
        return decode_pixels(x)


@dataclass(frozen=True, eq=False)
class LatentCodec:
    """The latents of a VAE, centred and scaled as its model works on them; the VAE is in fp32."""

    vae: Vae
    resolution: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of a latent."""
        height, width = self.resolution
        return self.vae.channels, height // self.vae.factor, width // self.vae.factor

    @property
    def scaling_factor(self) -> float | None:
        """What latents are multiplied by; None where each channel has its own."""
        return _alone(self.vae.scale)

    @property
    def shift_factor(self) -> float | None:
        """What is taken off before; None where each channel has its own."""
        return _alone(self.vae.centre)

    @property
    def _device(self) -> torch.device:
        return cast(torch.device, next(self.vae.module.parameters()).device)

    @property
    def _at_a_time(self) -> int:
        """Images in the VAE together."""
        return max(1, PIXELS // (self.resolution[0] * self.resolution[1]))

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] uint8 -> [B, *shape] float32."""
        device = self._device
        with naming(VAE):
            latents = [
                self.vae.encode(encode_pixels(few.to(device), 3))
                for few in torch.split(images, self._at_a_time)
            ]
            return (torch.cat(latents) - self.vae.centre.to(device)) * self.vae.scale.to(device)

    @torch.no_grad()
    def decode(self, x: Tensor) -> Tensor:
        """[B, *shape] -> [B, 3, H, W] uint8."""
        with naming(VAE):
            latents = x / self.vae.scale.to(x) + self.vae.centre.to(x)
            parts = torch.split(latents, self._at_a_time)
            return torch.cat([decode_pixels(self.vae.decode(few)) for few in parts])


def _alone(values: Tensor) -> float | None:
    return float(f"{float(values):.6g}") if values.numel() == 1 else None


class HasCodec(Protocol):
    """What enters and leaves its space through a codec."""

    @property
    def codec(self) -> Codec:
        """The way in and out."""


class Coded:
    """The members that a denoiser has from its `codec`.

    It does not clip, and is not told what is seen, unless it says so.
    """

    @property
    def unclipped(self) -> Self:
        """Itself."""
        return self

    def given(self, seen: Seen) -> Any:  # noqa: ARG002
        """None: it cannot be told."""
        return None

    @property
    def shape(self: HasCodec) -> tuple[int, int, int]:
        """C, H, W of the model's space."""
        return self.codec.shape

    @property
    def resolution(self: HasCodec) -> tuple[int, int]:
        """Height and width of the images."""
        return self.codec.resolution

    def encode(self: HasCodec, images: Tensor) -> Tensor:
        """[B, 3, H, W] uint8 -> [B, *shape] float32."""
        return self.codec.encode(images)

    def decode(self: HasCodec, x: Tensor) -> Tensor:
        """[B, *shape] float32 -> [B, 3, H, W] uint8."""
        return self.codec.decode(x)


def encode_pixels(images: Tensor, channels: int) -> Tensor:
    """[B, 3, H, W] uint8 -> [B, C, H, W] float32 in [-1, 1]; one channel is Rec. 601 luma."""
    x = images.to(torch.float32) / 127.5 - 1
    if channels == 1:
        luma = torch.tensor([0.299, 0.587, 0.114], device=x.device).view(1, 3, 1, 1)
        return (x * luma).sum(1, keepdim=True)
    return x


def decode_pixels(x: Tensor) -> Tensor:
    """[B, C, H, W] float32 in [-1, 1] -> [B, 3, H, W] uint8, clipped and rounded."""
    images = ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images

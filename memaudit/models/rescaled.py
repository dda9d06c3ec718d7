"""The same model, had it been trained on a space with another scale."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from memaudit.models.denoiser import Denoiser, Told, in_pixels

NEAR = 2.0  # images of half or twice the usual contrast are nothing strange
PIXELS = "pixels in 0 .. 1"
LATENTS = {
    "all latents with mean 0 and deviation 1": (0, 1, 2, 3),
    "each channel of the latents with mean 0 and deviation 1": (0, 2, 3),
}
SCALED = frozenset([PIXELS, *LATENTS])
FEW = 8  # images, from which scales are not measured


@dataclass(frozen=True, eq=False)
class Rescaled:
    """A model asked in the space gain * x + offset, numbers or [C, 1, 1], and answering in ours.

    Noise has one level: where gains differ by channel, that of their geometric mean.
    """

    model: Denoiser
    gain: Tensor
    offset: Tensor

    def denoise(self, x: Tensor, sigma: Tensor, prompts: Sequence[str] = ()) -> Tensor:
        """[B, *shape], [B] -> the estimate of x0."""
        level = sigma * self.gain.log().mean().exp()
        answer = self.model.denoise(self.gain * x + self.offset, level, prompts)
        return (answer - self.offset) / self.gain


def rescaled(denoiser: Denoiser, x0: Tensor) -> Iterator[tuple[str, Told]]:
    """Other scales of the space of clean images x0 [B, *shape], by name, for the self-check.

    Latents are near mean 0 and deviation 1 where a model is read rightly, together or by channel;
    of images with little contrast they are not quite, so that only coarse differences are tried.
    """
    if in_pixels(denoiser):
        half = torch.tensor(0.5, device=x0.device)
        yield PIXELS, Rescaled(denoiser, half, half)
        return
    if len(x0) < FEW:
        return
    for name, dimensions in LATENTS.items():
        deviation, mean = torch.std_mean(x0, dim=dimensions, keepdim=True)
        gain = 1 / deviation[0].clamp(min=1e-6)
        far = float((mean[0] * gain).abs().max()) > 1
        if far or float(gain.log().abs().max().exp()) > NEAR:
            yield name, Rescaled(denoiser, gain, -mean[0] * gain)

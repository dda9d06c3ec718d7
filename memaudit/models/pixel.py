"""Unconditional pixel models of diffusers (UNet2DModel), read as a denoiser in sigma space."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from memaudit.models.codec import Codec, Coded
from memaudit.models.denoiser import Conditioning, Denoiser
from memaudit.models.reading import Reading


@dataclass(frozen=True, eq=False)
class PixelDenoiser(Coded):
    """A variance-preserving UNet over pixels.

    A learned variance (Nichol & Dhariwal 2021) doubles the output channels; the second half is
    dropped. `clip` is the range to which the model's own sampler clips x0; `lowest` the noise below
    which a model of noisy data learned nothing. A network with a mask channel sees x where `mask`
    [B or 1, 1, H, W] is 1, and beside it the mask.
    """

    network: nn.Module
    codec: Codec
    reading: Reading
    clip: float | None = None
    lowest: float | None = None
    mask: Tensor | None = None
    estimate: Literal["mean", "sample"] = "mean"
    conditioning: Conditioning = "none"

    def seeing(self, mask: Tensor) -> PixelDenoiser:
        """The same network, told that this is what it sees."""
        return replace(self, mask=mask)

    @property
    def sigma_min(self) -> float:
        """The lowest noise the network was trained on."""
        return max(self.reading.schedule.sigma_min, self.lowest or 0.0)

    @property
    def sigma_max(self) -> float:
        """The highest finite noise the network was trained on."""
        return self.reading.schedule.sigma_max

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    def denoise(self, x: Tensor, sigma: Tensor, prompts: Sequence[str] = ()) -> Tensor:  # noqa: ARG002
        """The posterior mean of x0 given x = x0 + sigma n; fp32 in and out."""
        seen = x if self.mask is None else self.mask.to(x) * x
        x0 = self.reading.x0(seen, sigma, self._predict)
        if self.clip is None:
            return x0
        return torch.where(x0.isinf(), torch.nan, x0.clamp(-self.clip, self.clip))

    def _predict(self, x_t: Tensor, time: Tensor) -> Tensor:
        dtype = next(self.network.parameters()).dtype
        if self.mask is not None:
            seen = self.mask.to(x_t).expand(len(x_t), -1, -1, -1)
            x_t = torch.cat([x_t, seen], 1)
        x_t = x_t.to(dtype).contiguous(memory_format=torch.channels_last)
        output = cast(Any, self.network)(x_t, time, return_dict=False)[0]
        return cast(Tensor, output)[:, : self.shape[0]].float()

    def sigma_of_timestep(self, timestep: int) -> float:
        """The noise at a step 0 .. T - 1 of the training schedule."""
        return self.reading.sigma_of_timestep(timestep)

    def misreadings(self) -> Iterator[tuple[str, Denoiser]]:
        """The same network with another sign, prediction type, time or schedule.

        Those that differ in sign or prediction type alone ask the network the same, and share its
        answer if they are asked one after the other.
        """
        network = _LastAnswer(self.network)
        for name, reading in self.reading.others():
            yield name, replace(self, network=network, reading=reading)


class _LastAnswer(nn.Module):
    """A network that answers from memory when it is asked the same again."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self._last: tuple[Tensor, Tensor, Any] | None = None

    def forward(self, x_t: Tensor, time: Tensor, return_dict: bool = False) -> Any:
        last = self._last
        if last is None or not (torch.equal(last[0], x_t) and torch.equal(last[1], time)):
            last = (x_t, time, cast(Any, self.network)(x_t, time, return_dict=return_dict))
            self._last = last
        return last[2]

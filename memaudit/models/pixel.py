"""Unconditional networks over pixels, read as a denoiser in sigma space."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from memaudit.corruption.linear import Seen
from memaudit.models.denoiser import Conditioning, Denoiser, Told
from memaudit.models.limits import naming
from memaudit.models.network import NetworkDenoiser


@dataclass(frozen=True, eq=False, kw_only=True)
class PixelDenoiser(NetworkDenoiser):
    """A network over pixels, called as a UNet2DModel of diffusers is.

    A learned variance (Nichol & Dhariwal 2021) doubles the output channels; the second half is
    dropped. `clip` is the range to which the model's own sampler clips x0. A network with a mask
    channel sees x where `mask` [B or 1, 1, H, W] is 1, and beside it the mask.
    """

    network: nn.Module
    clip: float | None = None
    mask: Tensor | None = None
    conditioning: Conditioning = "none"

    def seeing(self, mask: Tensor) -> PixelDenoiser:
        """The same network, told that this is what it sees."""
        return replace(self, mask=mask)

    def given(self, seen: Seen) -> Told | None:
        """A network with a mask channel is told the mask; any other cannot be told anything."""
        if self.mask is None or not seen.view.basis.pixelwise:
            return None
        return _Filling(self.seeing(seen.view.gain), seen)

    @property
    def unclipped(self) -> Self:
        """The same network, whose answers are taken as they are."""
        return self if self.clip is None else replace(self, clip=None)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    def denoise(self, x: Tensor, sigma: Tensor, prompts: Sequence[str] = ()) -> Tensor:  # noqa: ARG002
        """The posterior mean of x0 given x = x0 + sigma n; fp32 in and out."""
        seen = x if self.mask is None else self.mask.to(x) * x
        x0 = self.parameterization.x0(seen, sigma, self._predict)
        if self.clip is None:
            return x0
        return torch.where(x0.isinf(), torch.nan, x0.clamp(-self.clip, self.clip))

    def _predict(self, x_t: Tensor, time: Tensor) -> Tensor:
        dtype = next(self.network.parameters()).dtype
        if self.mask is not None:
            seen = self.mask.to(x_t).expand(len(x_t), -1, -1, -1)
            x_t = torch.cat([x_t, seen], 1)
        x_t = x_t.to(dtype).contiguous(memory_format=torch.channels_last)
        with naming("the network of the model"):
            output = cast(Any, self.network)(x_t, time, return_dict=False)[0]
        return cast(Tensor, output)[:, : self.shape[0]].float()

    def misreadings(self) -> Iterator[tuple[str, Denoiser]]:
        """The same network under the other readings of its parameterization.

        Those that ask the network the same share its answer if asked one after the other.
        """
        network = _LastAnswer(self.network)
        for name, other in self.parameterization.others():
            yield name, replace(self, network=network, parameterization=other)


@dataclass(frozen=True, eq=False)
class _Filling:
    """A network of masked images, asked as it was trained: for what its mask hides, at once.

    Whatever x is, the answer is E[x0 | what is seen], at the least noise that it knows.
    """

    model: PixelDenoiser
    seen: Seen

    def denoise(self, x: Tensor, sigma: Tensor, prompts: Sequence[str] = ()) -> Tensor:  # noqa: ARG002
        return self._answer

    @cached_property
    def _answer(self) -> Tensor:
        seen = self.seen.only()
        level = max(self.seen.sigma, self.model.sigma_min)
        return self.model.denoise(seen, seen.new_full((len(seen),), level))


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

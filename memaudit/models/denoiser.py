"""The one thing the stages see of a model: x = x0 + sigma n  ->  an estimate of x0."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from memaudit.corruption.linear import Seen
from memaudit.models.codec import Codec

Conditioning = Literal["none", "caption", "class"]


class Told(Protocol):
    """A model that was told what is seen of each of B images, and is asked for these alone."""

    def denoise(self, x: Tensor, sigma: Tensor, prompts: Sequence[str] = ()) -> Tensor:
        """[B, *shape], [B], a caption each -> the estimate of x0, given what is seen."""


@runtime_checkable
class Inpaints(Protocol):
    """A model that was trained to fill in what a mask hides, with a sampler and captions."""

    def sigma_at(self, strength: float) -> float:
        """The noise at that share of its schedule, 0 to 1."""


@runtime_checkable
class Flows(Protocol):
    """A model that knows best the noise at which signal and noise are alike, in the middle of time.

    Models trained by flow matching do, whose time is drawn from the middle or evenly.
    """

    @property
    def middle(self) -> float | None:
        """That noise; None for a model of another kind."""


class Denoiser(Protocol):
    """A diffusion model in sigma space (Karras et al. 2022, arXiv 2206.00364).

    `x` is [B, C, H, W] float32 in the model's own space and `sigma` [B] the noise-to-signal
    ratio of each row, so noise levels mix in one batch. `estimate` says what `denoise` returns:
    the posterior mean E[x0 | x], or one draw of x0 (few-step models).
    """

    @property
    def codec(self) -> Codec:
        """How images enter its space and leave it: where the next four come from."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """C, H, W of the model's space."""

    @property
    def resolution(self) -> tuple[int, int]:
        """Height and width of the images it makes."""

    @property
    def sigma_min(self) -> float:
        """The lowest noise the model was trained on."""

    @property
    def sigma_max(self) -> float:
        """The highest."""

    @property
    def estimate(self) -> Literal["mean", "sample"]:
        """What `denoise` returns."""

    @property
    def conditioning(self) -> Conditioning:
        """What `denoise` is told of an image: nothing, its caption (`prompts`), or its class."""

    @property
    def mask(self) -> Tensor | None:
        """[1, 1, H, W], 1 where `denoise` sees x; None where it sees all of it."""

    @property
    def device(self) -> torch.device:
        """Where the model is."""

    @property
    def unclipped(self) -> Denoiser:
        """The same model without the clip of its own sampler; itself where that does not clip."""

    def given(self, seen: Seen) -> Told | None:
        """The same model, told what is seen of each of the B images that it is asked for.

        None for a model that cannot be told: it is then asked as it is.
        """

    def encode(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] uint8 -> [B, *shape] float32."""

    def decode(self, x: Tensor) -> Tensor:
        """[B, *shape] float32 -> [B, 3, H, W] uint8."""

    def denoise(self, x: Tensor, sigma: Tensor, prompts: Sequence[str] = ()) -> Tensor:
        """[B, *shape], [B], a caption each -> the estimate of x0, [B, *shape] float32."""

    def sigma_of_timestep(self, timestep: int) -> float:
        """The noise at a step of the model's own schedule; raises ConfigError if it has none."""

    def misreadings(self) -> Iterator[tuple[str, Denoiser]]:
        """Other ways the same network could be read, by name; empty where nothing is read."""


def in_pixels(denoiser: Denoiser) -> bool:
    """Whether its space has a cell for each pixel, and is no space of latents."""
    return tuple(denoiser.shape[1:]) == tuple(denoiser.resolution)

"""Latent models of diffusers: a network over VAE latents, told a caption, read as a denoiser."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from torch import Tensor

from memaudit.errors import ConfigError
from memaudit.models.denoiser import Conditioning, Denoiser
from memaudit.models.latent_parts import quiet
from memaudit.models.limits import naming
from memaudit.models.network import NetworkDenoiser

REMEMBERED = 1 << 26  # numbers in the embeddings of captions that are kept

type Told = Mapping[str, Tensor]  # what the text encoders make of one caption, by name, no batch


@dataclass(frozen=True, eq=False)
class Backbone(ABC):
    """The network of a pipeline and how it is asked: each family has its own; guidance is 1."""

    pipeline: Any

    @property
    def network(self) -> Any:
        """The part that answers."""
        return self.pipeline.transformer

    @property
    def conditioning(self) -> Conditioning:
        """What it is told."""
        return "caption"

    @abstractmethod
    def encode(self, caption: str) -> Told:
        """What the text encoders make of a caption."""

    @abstractmethod
    def ask(self, x_t: Tensor, time: Tensor, told: Sequence[Told]) -> Tensor:
        """[B, C, h, w] in the network's dtype, [B], a caption each -> F [B, C, h, w]."""

    @property
    def details(self) -> dict[str, Any]:
        """What a provenance keeps of how it is asked."""
        return {}

    def guided_by(self, guidance: float) -> Backbone:
        """The same network, told so much guidance; raises ConfigError if none was distilled in."""
        raise ConfigError(
            f"--distilled-guidance {guidance:g} is for models that guidance was distilled into "
            "(FLUX dev), and this one is told none; leave it out"
        )

    def others(self) -> Iterator[tuple[str, Backbone]]:
        """Other ways to ask the same network, by name, for the self-check."""
        yield from ()


@dataclass(frozen=True, eq=False, kw_only=True)
class LatentDenoiser(NetworkDenoiser):
    """The network of a pipeline over latents, told a caption."""

    backbone: Backbone
    mask: None = None
    _captions: dict[str, Told] = field(default_factory=dict, repr=False)

    @property
    def pipeline(self) -> Any:
        """The pipeline of diffusers that the network is a part of."""
        return self.backbone.pipeline

    @property
    def conditioning(self) -> Conditioning:
        """What the network is told."""
        return self.backbone.conditioning

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return cast(torch.device, next(self.backbone.network.parameters()).device)

    def denoise(self, x: Tensor, sigma: Tensor, prompts: Sequence[str] = ()) -> Tensor:
        """The posterior mean of the latents given x = x0 + sigma n and a caption each.

        Without `prompts` all captions are empty. fp32 in and out.
        """
        told = [self._told(prompt) for prompt in list(prompts) or [""] * len(x)]
        dtype = self.backbone.network.dtype

        def predict(x_t: Tensor, time: Tensor) -> Tensor:
            with naming("the network of the model"):
                return self.backbone.ask(self._shown(x_t).to(dtype), time, told).float()

        return self.parameterization.x0(x, sigma, predict)

    def misreadings(self) -> Iterator[tuple[str, Denoiser]]:
        """The same network, understood or asked in other ways."""
        for name, other in self.parameterization.others():
            yield name, replace(self, parameterization=other)
        for name, backbone in self.backbone.others():
            yield name, replace(self, backbone=backbone)

    def _shown(self, x_t: Tensor) -> Tensor:
        """What the network sees of noisy latents."""
        return x_t

    @torch.no_grad()
    def _told(self, prompt: str) -> Told:
        known = self._captions.get(prompt)
        if known is None:
            with quiet(), naming("the text encoder of the model"):
                known = self._in_its_format(self.backbone.encode(prompt))
            size = max(1, sum(tensor.numel() for tensor in known.values()))
            if len(self._captions) >= max(1, REMEMBERED // size):
                self._captions.clear()
            self._captions[prompt] = known
        return known

    def _in_its_format(self, told: Told) -> Told:
        """What is told, in the number format of the network."""
        dtype = self.backbone.network.dtype
        return {
            name: tensor.to(dtype) if tensor.is_floating_point() else tensor
            for name, tensor in told.items()
        }


def stacked(told: Sequence[Told]) -> dict[str, Tensor]:
    """What is told of a batch, by name; [B, ...] each."""
    return {name: torch.stack([one[name] for one in told]) for name in told[0]}

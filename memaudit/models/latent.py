"""Stable Diffusion 1.x, 2.x and XL: text-to-image models, read as a denoiser of VAE latents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from diffusers import (
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLInpaintPipeline,
    StableDiffusionXLPipeline,
)
from torch import Tensor

from memaudit.models.denoiser import Conditioning, Denoiser
from memaudit.models.limits import naming
from memaudit.models.network import NetworkDenoiser

REMEMBERED = 1024  # captions whose embeddings are kept


@dataclass(frozen=True, eq=False)
class Caption:
    """What the text encoders make of a caption: [T, D], and the pooled [P] of XL."""

    tokens: Tensor
    pooled: Tensor | None


@dataclass(frozen=True, eq=False, kw_only=True)
class LatentDenoiser(NetworkDenoiser):
    """The UNet of a pipeline, over latents and told a caption; guidance is 1.

    XL is told that its images were neither scaled nor cropped.
    """

    pipeline: (
        StableDiffusionPipeline
        | StableDiffusionXLPipeline
        | StableDiffusionInpaintPipeline
        | StableDiffusionXLInpaintPipeline
    )
    conditioning: Conditioning = "caption"
    mask: None = None
    _captions: dict[str, Caption] = field(default_factory=dict, repr=False)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return cast(torch.device, next(self.pipeline.unet.parameters()).device)

    def denoise(self, x: Tensor, sigma: Tensor, prompts: Sequence[str] = ()) -> Tensor:
        """The posterior mean of the latents given x = x0 + sigma n and a caption each.

        Without `prompts` all captions are empty. fp32 in and out.
        """
        told = self._conditions(list(prompts) or [""] * len(x))

        def predict(x_t: Tensor, time: Tensor) -> Tensor:
            unet = cast(Any, self.pipeline.unet)
            with naming("the UNet of the model"):
                shown = self._shown(x_t).to(unet.dtype)
                return cast(Tensor, unet(shown, time, **told)[0]).float()

        return self.parameterization.x0(x, sigma, predict)

    def misreadings(self) -> Iterator[tuple[str, Denoiser]]:
        """The same network under the other readings of its parameterization."""
        for name, other in self.parameterization.others():
            yield name, replace(self, parameterization=other)

    def _shown(self, x_t: Tensor) -> Tensor:
        """What the network sees of noisy latents."""
        return x_t

    def _conditions(self, prompts: list[str]) -> dict[str, Any]:
        captions = [self._caption(prompt) for prompt in prompts]
        told: dict[str, Any] = {"encoder_hidden_states": torch.stack([c.tokens for c in captions])}
        pooled = [c.pooled for c in captions if c.pooled is not None]
        if pooled:
            sizes = [*self.resolution, 0, 0, *self.resolution]  # original, crop from, target
            times = torch.tensor([sizes] * len(prompts), device=self.device)
            told["added_cond_kwargs"] = {"text_embeds": torch.stack(pooled), "time_ids": times}
        return told

    @torch.no_grad()
    def _caption(self, prompt: str) -> Caption:
        known = self._captions.get(prompt)
        if known is None:
            with naming("the text encoder of the model"):
                encoded = self.pipeline.encode_prompt(
                    prompt=prompt,
                    device=self.device,
                    num_images_per_prompt=1,
                    do_classifier_free_guidance=False,
                )
            pooled = encoded[2][0] if len(encoded) > 2 else None  # the second is the negative one
            if len(self._captions) >= REMEMBERED:
                self._captions.clear()
            known = self._captions[prompt] = Caption(encoded[0][0], pooled)
        return known

"""Stable Diffusion 1.x, 2.x and XL, and their pipelines for inpainting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from diffusers import (
    AutoencoderKL,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLInpaintPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from torch import Tensor
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from memaudit.errors import ModelError
from memaudit.models.inpainting import InpaintingDenoiser
from memaudit.models.latent import Backbone, LatentDenoiser, Told, stacked
from memaudit.models.loaded import ModelOptions
from memaudit.models.parameterization import Parameterization, variance_preserving
from memaudit.models.pipelines import family_of, open_pipeline
from memaudit.models.recipe import Recipe
from memaudit.models.vae import KlVae

NETWORKS = {
    "unet": (UNet2DConditionModel,),
    "vae": (AutoencoderKL,),
    "text_encoder": (CLIPTextModel,),
}
NETWORKS_XL = {**NETWORKS, "text_encoder_2": (CLIPTextModelWithProjection,)}
WITHOUT = {"safety_checker": None, "requires_safety_checker": False, "feature_extractor": None}


@dataclass(frozen=True, eq=False)
class Unet(Backbone):
    """The UNet; XL is told that its images were neither scaled nor cropped."""

    @property
    def network(self) -> Any:
        """The UNet."""
        return self.pipeline.unet

    def encode(self, caption: str) -> Told:
        """Tokens [T, D], and the pooled [P] of XL."""
        encoded = self.pipeline.encode_prompt(
            prompt=caption,
            device=self.network.device,
            num_images_per_prompt=1,
            do_classifier_free_guidance=False,
        )
        tokens = {"tokens": encoded[0][0]}  # the second is the negative one
        return {**tokens, "pooled": encoded[2][0]} if len(encoded) > 2 else tokens

    def ask(self, x_t: Tensor, time: Tensor, told: Sequence[Told]) -> Tensor:
        """The UNet's answer."""
        return cast(Tensor, self.network(x_t, time, **self.conditions(x_t, told))[0])

    def conditions(self, x_t: Tensor, told: Sequence[Told]) -> dict[str, Any]:
        """What it is told beside the noisy latents [B, C, h, w] and the time."""
        batch = stacked(told)
        conditions: dict[str, Any] = {"encoder_hidden_states": batch["tokens"]}
        if "pooled" in batch:
            size = [side * self.pipeline.vae_scale_factor for side in x_t.shape[2:]]
            sizes = [*size, 0, 0, *size]  # original, crop from, target
            times = torch.tensor([sizes] * len(told), device=x_t.device)
            conditions["added_cond_kwargs"] = {"text_embeds": batch["pooled"], "time_ids": times}
        return conditions


def load_latent(folder: Path, options: ModelOptions) -> LatentDenoiser:
    """The denoiser in the folder of one of these pipelines; raises ModelError for any other."""
    loaded = open_pipeline(folder, {each.pipeline.__name__: each for each in RECIPES}, options)
    return cast(LatentDenoiser, loaded.denoiser)


def _recipe(kind: Any) -> Recipe:
    xl = kind in (StableDiffusionXLPipeline, StableDiffusionXLInpaintPipeline)
    tokenizers = {"tokenizer": CLIPTokenizer}
    return Recipe(
        family="stable-diffusion",
        pipeline=kind,
        network="unet",
        parts=NETWORKS_XL if xl else NETWORKS,
        tokenizers={**tokenizers, "tokenizer_2": CLIPTokenizer} if xl else tokenizers,
        backbone=Unet,
        vae=lambda pipeline: KlVae(pipeline.vae, by_channel=xl),
        reading=_reading,
        grain=lambda pipeline: int(2 ** (len(pipeline.unet.config.block_out_channels) - 1)),
        extras={"add_watermarker": False} if xl else WITHOUT,
        check=_check,
        denoiser=_inpainting if "Inpaint" in kind.__name__ else LatentDenoiser,
    )


def _reading(pipeline: Any) -> Parameterization:
    return variance_preserving(pipeline.scheduler.config)


def _inpainting(backbone: Unet, **fields: Any) -> LatentDenoiser:
    """A pipeline for inpainting, whose UNet is told a mask or is one of text to image."""
    plain = backbone.network.config.in_channels == backbone.pipeline.vae.config.latent_channels
    kind = LatentDenoiser if plain else InpaintingDenoiser
    return kind(backbone=backbone, **fields)


def _check(pipeline: Any, folder: Path) -> None:
    """Refuse networks that see more than noisy latents, and of inpainting a mask and latents."""
    inpainting = "Inpaint" in type(pipeline).__name__
    found, latents = pipeline.unet.config.in_channels, pipeline.vae.config.latent_channels
    beside = (latents, 2 * latents + 1) if inpainting else (latents,)
    if found not in beside:
        raise ModelError(
            f"the UNet in {folder} takes {found} channels, expected the {latents} of its VAE's "
            f"latents{f' or {beside[-1]} with a mask' * inpainting}; models for "
            "inpainting are those that their model_index.json calls so, and models for editing "
            "are not audited"
        )


RECIPES = [
    _recipe(kind)
    for kind in (
        StableDiffusionPipeline,
        StableDiffusionXLPipeline,
        StableDiffusionInpaintPipeline,
        StableDiffusionXLInpaintPipeline,
    )
]
FAMILY = family_of(*RECIPES)

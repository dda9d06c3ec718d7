"""Stable Diffusion 3 and 3.5 (Esser et al. 2024, arXiv 2403.03206), with or without T5."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from diffusers import AutoencoderKL, SD3Transformer2DModel, StableDiffusion3Pipeline
from torch import Tensor
from transformers import (
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5EncoderModel,
    T5TokenizerFast,
)

from memaudit.models.flow import flow_matching
from memaudit.models.latent import Backbone, Told, stacked
from memaudit.models.pipelines import family_of
from memaudit.models.recipe import Recipe
from memaudit.models.vae import KlVae


@dataclass(frozen=True, eq=False)
class Transformer(Backbone):
    """Two CLIP encoders and T5 say what it is told."""

    def encode(self, caption: str) -> Told:
        """Tokens [T, D] and the pooled [P]."""
        tokens, _, pooled, _ = self.pipeline.encode_prompt(
            *(caption, caption, caption),
            device=self.network.device,
            do_classifier_free_guidance=False,
        )
        return {"encoder_hidden_states": tokens[0], "pooled_projections": pooled[0]}

    def ask(self, x_t: Tensor, time: Tensor, told: Sequence[Told]) -> Tensor:
        """The transformer's answer."""
        return cast(Tensor, self.network(x_t, timestep=time, **stacked(told))[0])


FAMILY = family_of(
    Recipe(
        family="stable-diffusion-3",
        pipeline=StableDiffusion3Pipeline,
        network="transformer",
        parts={
            "transformer": (SD3Transformer2DModel,),
            "vae": (AutoencoderKL,),
            "text_encoder": (CLIPTextModelWithProjection,),
            "text_encoder_2": (CLIPTextModelWithProjection,),
            "text_encoder_3": (T5EncoderModel,),
        },
        optional=frozenset({"text_encoder_3"}),
        tokenizers={
            "tokenizer": CLIPTokenizer,
            "tokenizer_2": CLIPTokenizer,
            "tokenizer_3": T5TokenizerFast,
        },
        backbone=Transformer,
        vae=lambda pipeline: KlVae(pipeline.vae),
        reading=lambda pipeline: flow_matching(pipeline.scheduler, 1000.0),
    )
)

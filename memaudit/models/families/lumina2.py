"""Lumina-Image 2.0: a flow whose time runs from noise to image, told by Gemma."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from diffusers import AutoencoderKL, Lumina2Pipeline, Lumina2Transformer2DModel
from torch import Tensor
from transformers import Gemma2Model, GemmaTokenizerFast

from memaudit.models.flow import flow_matching
from memaudit.models.latent import Backbone, Told, stacked
from memaudit.models.pipelines import family_of
from memaudit.models.recipe import Recipe
from memaudit.models.vae import KlVae


@dataclass(frozen=True, eq=False)
class Transformer(Backbone):
    """Gemma reads the caption after the pipeline's own system prompt."""

    def encode(self, caption: str) -> Told:
        """Tokens [T, D], and which of them are words [T]."""
        tokens, words, _, _ = self.pipeline.encode_prompt(
            caption, do_classifier_free_guidance=False, device=self.network.device
        )
        return {"encoder_hidden_states": tokens[0], "encoder_attention_mask": words[0]}

    def ask(self, x_t: Tensor, time: Tensor, told: Sequence[Told]) -> Tensor:
        """The transformer's answer."""
        answer = self.network(x_t, timestep=time, return_dict=False, **stacked(told))
        return cast(Tensor, answer[0])


FAMILY = family_of(
    Recipe(
        family="lumina2",
        pipeline=Lumina2Pipeline,
        network="transformer",
        parts={
            "transformer": (Lumina2Transformer2DModel,),
            "vae": (AutoencoderKL,),
            "text_encoder": (Gemma2Model,),
        },
        tokenizers={"tokenizer": GemmaTokenizerFast},
        backbone=Transformer,
        vae=lambda pipeline: KlVae(pipeline.vae),
        reading=lambda pipeline: flow_matching(pipeline.scheduler, backwards=True),
    )
)

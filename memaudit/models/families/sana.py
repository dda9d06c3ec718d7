"""Sana (Xie et al. 2024, arXiv 2410.10629): a flow over latents of a deep autoencoder."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from diffusers import AutoencoderDC, SanaPipeline, SanaTransformer2DModel
from torch import Tensor
from transformers import Gemma2ForCausalLM, Gemma2Model, GemmaTokenizerFast

from memaudit.models.flow import flow_matching
from memaudit.models.latent import Backbone, Told, stacked
from memaudit.models.pipelines import family_of
from memaudit.models.recipe import Recipe
from memaudit.models.vae import PlainVae

# What the pipeline itself puts before a caption.
INSTRUCTION = inspect.signature(SanaPipeline.__call__).parameters["complex_human_instruction"]


@dataclass(frozen=True, eq=False)
class Transformer(Backbone):
    """Gemma reads the caption after an instruction, as the pipeline samples."""

    def encode(self, caption: str) -> Told:
        """Tokens [T, D], and which of them are words [T]."""
        tokens, words, _, _ = self.pipeline.encode_prompt(
            caption,
            do_classifier_free_guidance=False,
            device=self.network.device,
            complex_human_instruction=INSTRUCTION.default,
        )
        return {"encoder_hidden_states": tokens[0], "encoder_attention_mask": words[0]}

    def ask(self, x_t: Tensor, time: Tensor, told: Sequence[Told]) -> Tensor:
        """The transformer's answer; a learned variance is dropped."""
        answer = self.network(x_t, timestep=time, return_dict=False, **stacked(told))[0]
        return cast(Tensor, answer[:, : x_t.shape[1]])


def _time_scale(pipeline: Any) -> float:
    return 1000.0 * float(pipeline.transformer.config.get("timestep_scale") or 1.0)


FAMILY = family_of(
    Recipe(
        family="sana",
        pipeline=SanaPipeline,
        network="transformer",
        parts={
            "transformer": (SanaTransformer2DModel,),
            "vae": (AutoencoderDC,),
            "text_encoder": (Gemma2Model, Gemma2ForCausalLM),
        },
        tokenizers={"tokenizer": GemmaTokenizerFast},
        backbone=Transformer,
        vae=lambda pipeline: PlainVae(pipeline.vae, "encoder_block_out_channels"),
        reading=lambda pipeline: flow_matching(pipeline.scheduler, _time_scale(pipeline)),
    )
)

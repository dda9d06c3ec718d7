"""Z-Image: a flow whose time runs from noise to image, told by Qwen3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL, ZImagePipeline, ZImageTransformer2DModel
from torch import Tensor
from transformers import Qwen2Tokenizer, Qwen3ForCausalLM, Qwen3Model

from memaudit.models.flow import flow_matching
from memaudit.models.latent import Backbone, Told
from memaudit.models.pipelines import family_of
from memaudit.models.recipe import Recipe
from memaudit.models.vae import KlVae

CELLS = 128  # a side of the latents that the pipeline samples; no configuration says it


@dataclass(frozen=True, eq=False)
class Transformer(Backbone):
    """It is asked for a list of images, each with a caption as long as it is."""

    def encode(self, caption: str) -> Told:
        """Tokens [T, D]; T is the caption's own."""
        tokens, _ = self.pipeline.encode_prompt(
            caption, device=self.network.device, do_classifier_free_guidance=False
        )
        return {"tokens": tokens[0]}

    def ask(self, x_t: Tensor, time: Tensor, told: Sequence[Told]) -> Tensor:
        """The transformer's answer."""
        frames = list(x_t[:, :, None].unbind())
        captions = [one["tokens"] for one in told]
        return torch.stack(self.network(frames, time, captions, return_dict=False)[0])[:, :, 0]


FAMILY = family_of(
    Recipe(
        family="z-image",
        pipeline=ZImagePipeline,
        network="transformer",
        parts={
            "transformer": (ZImageTransformer2DModel,),
            "vae": (AutoencoderKL,),
            "text_encoder": (Qwen3Model, Qwen3ForCausalLM),
        },
        tokenizers={"tokenizer": Qwen2Tokenizer},
        backbone=Transformer,
        vae=lambda pipeline: KlVae(pipeline.vae),
        reading=lambda pipeline: flow_matching(pipeline.scheduler, backwards=True),
        cells=lambda _: CELLS,
        grain=lambda _: 2,
    )
)

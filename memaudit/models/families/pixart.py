"""PixArt-alpha and -sigma (arXiv 2310.00426, 2403.04692), variance preserving, told by T5."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from diffusers import (
    AutoencoderKL,
    PixArtAlphaPipeline,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
)
from torch import Tensor
from transformers import T5EncoderModel, T5TokenizerFast

from memaudit.models.latent import Backbone, Told, stacked
from memaudit.models.parameterization import variance_preserving
from memaudit.models.pipelines import family_of
from memaudit.models.recipe import Recipe
from memaudit.models.vae import KlVae


@dataclass(frozen=True, eq=False)
class Transformer(Backbone):
    """A learned variance doubles the channels of the answer; the second half is dropped.

    Some are told the size of the image beside its caption (alpha at 1024 px).
    """

    def encode(self, caption: str) -> Told:
        """Tokens [T, D], and which of them are words [T]."""
        tokens, words, _, _ = self.pipeline.encode_prompt(
            caption, do_classifier_free_guidance=False, device=self.network.device
        )
        return {"encoder_hidden_states": tokens[0], "encoder_attention_mask": words[0]}

    def ask(self, x_t: Tensor, time: Tensor, told: Sequence[Told]) -> Tensor:
        """The transformer's answer, without the variance."""
        answer = self.network(
            x_t,
            timestep=time,
            added_cond_kwargs=self._size(x_t),
            return_dict=False,
            **stacked(told),
        )[0]
        return cast(Tensor, answer[:, : x_t.shape[1]])

    def _size(self, x_t: Tensor) -> dict[str, Tensor | None]:
        if not self.network.use_additional_conditions:
            return {"resolution": None, "aspect_ratio": None}
        height, width = (side * self.pipeline.vae_scale_factor for side in x_t.shape[2:])
        sides = x_t.new_tensor([[height, width]]).expand(len(x_t), -1)
        return {"resolution": sides, "aspect_ratio": sides[:, :1] / sides[:, 1:]}


def _recipe(pipeline: Any) -> Recipe:
    return Recipe(
        family="pixart",
        pipeline=pipeline,
        network="transformer",
        parts={
            "transformer": (PixArtTransformer2DModel,),
            "vae": (AutoencoderKL,),
            "text_encoder": (T5EncoderModel,),
        },
        tokenizers={"tokenizer": T5TokenizerFast},
        backbone=Transformer,
        vae=lambda pipeline: KlVae(pipeline.vae),
        reading=lambda pipeline: variance_preserving(pipeline.scheduler.config),
    )


FAMILY = family_of(_recipe(PixArtAlphaPipeline), _recipe(PixArtSigmaPipeline))

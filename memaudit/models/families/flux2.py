"""FLUX.2, dev (told by Mistral) and klein (by Qwen): a flow over latents in two by two patches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from diffusers import (
    AutoencoderKLFlux2,
    Flux2KleinPipeline,
    Flux2Pipeline,
    Flux2Transformer2DModel,
)
from torch import Tensor
from transformers import (
    Mistral3ForConditionalGeneration,
    PixtralProcessor,
    Qwen2Tokenizer,
    Qwen3ForCausalLM,
)

from memaudit.errors import ModelError
from memaudit.models.families.flux import PACKED, Guided
from memaudit.models.flow import flow_matching
from memaudit.models.latent import Told, stacked
from memaudit.models.pipelines import family_of
from memaudit.models.recipe import Recipe


@dataclass(frozen=True, eq=False)
class PatchedVae:
    """An AutoencoderKLFlux2: latents in patches, each channel to its own mean and deviation."""

    module: Any

    def __post_init__(self) -> None:
        """Raise ModelError for means and variances by which nothing can be scaled."""
        normal = self.module.bn
        fine = normal.running_mean.isfinite() & normal.running_var.isfinite()
        if not bool((fine & (normal.running_var > 0)).all()):
            raise ModelError(
                "the VAE holds means or variances of its channels (bn) that are not finite, or "
                "not above 0; copy the model again"
            )

    @property
    def channels(self) -> int:
        """Of a patch."""
        return int(PACKED * self.module.config.latent_channels)

    @property
    def factor(self) -> int:
        """Each block halves a side: all but one of the VAE's, and the patches."""
        return int(2 ** len(self.module.config.block_out_channels))

    @property
    def centre(self) -> Tensor:
        """The mean of each channel, [C, 1, 1]."""
        return cast(Tensor, self.module.bn.running_mean.view(-1, 1, 1))

    @property
    def scale(self) -> Tensor:
        """What makes its deviation 1, [C, 1, 1]."""
        variance = self.module.bn.running_var + self.module.config.batch_norm_eps
        return cast(Tensor, variance.rsqrt().view(-1, 1, 1))

    def encode(self, pixels: Tensor) -> Tensor:
        """The mode of the posterior, in patches."""
        mode = self.module.encode(pixels).latent_dist.mode()
        return cast(Tensor, Flux2Pipeline._patchify_latents(mode))

    def decode(self, latents: Tensor) -> Tensor:
        """The pixels."""
        cells = Flux2Pipeline._unpatchify_latents(latents)
        return cast(Tensor, self.module.decode(cells, return_dict=False)[0])


@dataclass(frozen=True, eq=False)
class Patched(Guided):
    """The transformer sees one token a patch."""

    def encode(self, caption: str) -> Told:
        """Tokens [T, D] and where they stand [T, 4]."""
        tokens, places = self.pipeline.encode_prompt(caption, device=self.network.device)
        return {"encoder_hidden_states": tokens[0], "txt_ids": places[0]}

    def ask(self, x_t: Tensor, time: Tensor, told: Sequence[Told]) -> Tensor:
        """The transformer's answer, put in place."""
        answer = self.network(
            hidden_states=self.pipeline._pack_latents(x_t),
            timestep=time,
            guidance=self.told_guidance(x_t),
            img_ids=self.pipeline._prepare_latent_ids(x_t).to(x_t.device),
            return_dict=False,
            **stacked(told),
        )[0]
        return cast(Tensor, answer.permute(0, 2, 1).reshape(x_t.shape))


def _recipe(pipeline: Any, encoder: Any, tokenizer: Any) -> Recipe:
    return Recipe(
        family="flux2",
        pipeline=pipeline,
        network="transformer",
        parts={
            "transformer": (Flux2Transformer2DModel,),
            "vae": (AutoencoderKLFlux2,),
            "text_encoder": (encoder,),
        },
        tokenizers={"tokenizer": tokenizer},
        flags=("is_distilled",) if pipeline is Flux2KleinPipeline else (),
        draws=lambda pipeline: bool(pipeline.config.get("is_distilled")),
        backbone=Patched,
        vae=lambda pipeline: PatchedVae(pipeline.vae),
        reading=lambda pipeline: flow_matching(pipeline.scheduler),
        cells=lambda pipeline: pipeline.default_sample_size // 2,
    )


FAMILY = family_of(
    _recipe(Flux2Pipeline, Mistral3ForConditionalGeneration, PixtralProcessor),
    _recipe(Flux2KleinPipeline, Qwen3ForCausalLM, Qwen2Tokenizer),
)

"""FLUX.1: a flow over packed latents, told by CLIP and T5, and in part by how much to be guided."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from diffusers import AutoencoderKL, FluxPipeline, FluxTransformer2DModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer, T5EncoderModel, T5TokenizerFast

from memaudit.models.flow import flow_matching
from memaudit.models.latent import Backbone, Told, stacked
from memaudit.models.pipelines import family_of
from memaudit.models.recipe import Recipe
from memaudit.models.vae import KlVae

PACKED = 4  # cells of a latent in one token, two by two
GUIDANCE = (1.0, 3.5, 0.0)  # what a model may be told


@dataclass(frozen=True, eq=False)
class Guided(Backbone):
    """A transformer that guidance was distilled into (dev) is told it; 1 is its own answer."""

    guidance: float = 1.0

    @property
    def _guided(self) -> bool:
        return bool(self.network.config.guidance_embeds)

    @property
    def details(self) -> dict[str, Any]:
        """The guidance, where it is told one."""
        return {"distilled_guidance": self.guidance} if self._guided else {}

    def guided_by(self, guidance: float) -> Backbone:
        """The same transformer, told so much guidance."""
        return replace(self, guidance=guidance) if self._guided else super().guided_by(guidance)

    def others(self) -> Iterator[tuple[str, Backbone]]:
        """The same transformer, told other guidance."""
        for guidance in GUIDANCE if self._guided else ():
            if guidance != self.guidance:
                yield f"told a guidance of {guidance:g}", replace(self, guidance=guidance)

    def told_guidance(self, x_t: Tensor) -> Tensor | None:
        """What the transformer is told beside noisy latents [B, ...]: [B], or nothing."""
        return x_t.new_full((len(x_t),), self.guidance) if self._guided else None


@dataclass(frozen=True, eq=False)
class Packed(Guided):
    """The transformer sees tokens of two by two cells."""

    def encode(self, caption: str) -> Told:
        """Tokens [T, D], the pooled [P], and where tokens stand: nowhere, [T, 3] zeros."""
        tokens, pooled, places = self.pipeline.encode_prompt(
            caption, caption, device=self.network.device
        )
        return {"tokens": tokens[0], "pooled": pooled[0], "places": places}

    def ask(self, x_t: Tensor, time: Tensor, told: Sequence[Told]) -> Tensor:
        """The transformer's answer, unpacked."""
        count, channels, height, width = x_t.shape
        pipeline, batch = self.pipeline, stacked(told)
        answer = self.network(
            pipeline._pack_latents(x_t, count, channels, height, width),
            timestep=time,
            guidance=self.told_guidance(x_t),
            pooled_projections=batch["pooled"],
            encoder_hidden_states=batch["tokens"],
            txt_ids=told[0]["places"],
            img_ids=pipeline._prepare_latent_image_ids(
                count, height // 2, width // 2, x_t.device, x_t.dtype
            ),
            return_dict=False,
        )[0]
        sides = (height * pipeline.vae_scale_factor, width * pipeline.vae_scale_factor)
        return cast(Tensor, pipeline._unpack_latents(answer, *sides, pipeline.vae_scale_factor))


FAMILY = family_of(
    Recipe(
        family="flux",
        pipeline=FluxPipeline,
        network="transformer",
        parts={
            "transformer": (FluxTransformer2DModel,),
            "vae": (AutoencoderKL,),
            "text_encoder": (CLIPTextModel,),
            "text_encoder_2": (T5EncoderModel,),
        },
        tokenizers={"tokenizer": CLIPTokenizer, "tokenizer_2": T5TokenizerFast},
        backbone=Packed,
        vae=lambda pipeline: KlVae(pipeline.vae),
        reading=lambda pipeline: flow_matching(pipeline.scheduler),
        cells=lambda pipeline: pipeline.default_sample_size,
        grain=lambda _: 2,
        packed=PACKED,
    )
)

"""Qwen-Image (arXiv 2508.02324): a flow over packed latents of a video VAE, told by Qwen2.5-VL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from diffusers import AutoencoderKLQwenImage, QwenImagePipeline, QwenImageTransformer2DModel
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2Tokenizer

from memaudit.errors import ModelError
from memaudit.models.flow import flow_matching
from memaudit.models.latent import Backbone, Told
from memaudit.models.pipelines import family_of
from memaudit.models.recipe import Recipe


@dataclass(frozen=True, eq=False)
class FrameVae:
    """An AutoencoderKLQwenImage: an image is a video of one frame."""

    module: Any

    def __post_init__(self) -> None:
        """Raise ModelError where means and deviations are not one a channel."""
        lists = (self.module.config.latents_mean, self.module.config.latents_std)
        if any(len(each or ()) != self.channels for each in lists) or not min(lists[1]) > 0:
            raise ModelError(
                "the VAE's config.json gives latents_mean and latents_std that are not one number "
                f"for each of {self.channels} channels, those of the second above 0; copy the "
                "model again"
            )

    @property
    def channels(self) -> int:
        """Of a latent."""
        return int(self.module.config.z_dim)

    @property
    def factor(self) -> int:
        """Each block but one halves a side."""
        return int(2 ** len(self.module.temperal_downsample))

    @property
    def centre(self) -> Tensor:
        """The mean of each channel, [C, 1, 1]."""
        return torch.tensor(self.module.config.latents_mean).view(-1, 1, 1)

    @property
    def scale(self) -> Tensor:
        """What makes its deviation 1, [C, 1, 1]."""
        return 1 / torch.tensor(self.module.config.latents_std).view(-1, 1, 1)

    def encode(self, pixels: Tensor) -> Tensor:
        """The mode of the posterior."""
        return cast(Tensor, self.module.encode(pixels[:, :, None]).latent_dist.mode()[:, :, 0])

    def decode(self, latents: Tensor) -> Tensor:
        """The pixels."""
        return cast(Tensor, self.module.decode(latents[:, :, None], return_dict=False)[0][:, :, 0])


@dataclass(frozen=True, eq=False)
class Packed(Backbone):
    """The transformer sees tokens of two by two cells; captions are as long as they are."""

    def encode(self, caption: str) -> Told:
        """Tokens [T, D]; T is the caption's own."""
        return {"tokens": self.pipeline.encode_prompt(caption, device=self.network.device)[0][0]}

    def ask(self, x_t: Tensor, time: Tensor, told: Sequence[Told]) -> Tensor:
        """The transformer's answer, unpacked."""
        count, channels, height, width = x_t.shape
        tokens = [one["tokens"] for one in told]
        words = pad_sequence([each.new_ones(len(each)) for each in tokens], batch_first=True)
        answer = self.network(
            hidden_states=self.pipeline._pack_latents(x_t, count, channels, height, width),
            timestep=time,
            encoder_hidden_states=pad_sequence(tokens, batch_first=True),
            encoder_hidden_states_mask=None if bool(words.all()) else words.long(),
            img_shapes=[[(1, height // 2, width // 2)]] * count,
            return_dict=False,
        )[0]
        factor = self.pipeline.vae_scale_factor
        frames = self.pipeline._unpack_latents(answer, height * factor, width * factor, factor)
        return cast(Tensor, frames[:, :, 0])


FAMILY = family_of(
    Recipe(
        family="qwen-image",
        pipeline=QwenImagePipeline,
        network="transformer",
        parts={
            "transformer": (QwenImageTransformer2DModel,),
            "vae": (AutoencoderKLQwenImage,),
            "text_encoder": (Qwen2_5_VLForConditionalGeneration,),
        },
        tokenizers={"tokenizer": Qwen2Tokenizer},
        backbone=Packed,
        vae=lambda pipeline: FrameVae(pipeline.vae),
        reading=lambda pipeline: flow_matching(pipeline.scheduler),
        cells=lambda pipeline: pipeline.default_sample_size,
        grain=lambda _: 2,
        packed=4,
    )
)

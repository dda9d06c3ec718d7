"""Tiny Stable Diffusion pipelines with random weights, real tokenizer and real schedulers."""

from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

from memaudit.models.single.clip_tokenizer import write_clip_tokenizer

SCHEDULE = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
WIDTH = 32  # of a token


def write_sd(
    folder: Path, kind: type = StableDiffusionPipeline, channels: int = 4, **scheduler: object
) -> Path:
    """A Stable Diffusion 1.x of 32 px images and 16 px latents; 9 channels for inpainting."""
    torch.manual_seed(0)
    pipeline = kind(
        vae=_vae(),
        text_encoder=CLIPTextModel(text_config()),
        tokenizer=write_tokenizer(folder / "tokenizer"),
        unet=_unet(cross_attention_dim=WIDTH, in_channels=channels),
        scheduler=DDIMScheduler(**SCHEDULE, clip_sample=False, steps_offset=1, **scheduler),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
    return folder


def write_sdxl(folder: Path, kind: type = StableDiffusionXLPipeline, channels: int = 4) -> Path:
    """A Stable Diffusion XL of the same size."""
    torch.manual_seed(0)
    tokenizer = write_tokenizer(folder / "tokenizer")
    unet = _unet(
        cross_attention_dim=2 * WIDTH,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=WIDTH + 6 * 8,
        in_channels=channels,
    )
    pipeline = kind(
        vae=_vae(),
        text_encoder=CLIPTextModel(text_config()),
        text_encoder_2=CLIPTextModelWithProjection(text_config()),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet,
        scheduler=EulerDiscreteScheduler(**SCHEDULE),
    )
    pipeline.save_pretrained(folder)
    return folder


def write_tokenizer(folder: Path) -> CLIPTokenizer:
    """The tokenizer of CLIP, from the vocabulary that open_clip ships."""
    write_clip_tokenizer(folder)
    return CLIPTokenizer.from_pretrained(folder)


def text_config() -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=49408,
        hidden_size=WIDTH,
        intermediate_size=64,
        projection_dim=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        bos_token_id=49406,
        eos_token_id=49407,
        pad_token_id=49407,
    )


def _unet(**more: object) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=8,
        norm_num_groups=8,
        **more,
    )


def _vae() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(16, 32),
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
        up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
        latent_channels=4,
        norm_num_groups=8,
        sample_size=32,
    )

"""Configurations that memaudit knows by itself, of models whose tokenizers it can make.

They are plain numbers: those of the published models, where they are not the defaults of diffusers'
and transformers' classes. Which one a file is of is told by the shapes of a few tensors; whether it
fits is then found tensor by tensor.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from memaudit.models.locate import INDEX
from memaudit.models.pipelines import SCHEDULER
from memaudit.models.single.clip_tokenizer import OF_CLIP, OF_OPEN_CLIP, write_clip_tokenizer
from memaudit.models.single.shapes import FIRST, context_of, layers, shape_of
from memaudit.models.single.stored import Stored

type Config = Mapping[str, Any]


@dataclass(frozen=True)
class Known:
    """The configuration of a published model: of its parts, its scheduler and its tokenizers.

    `tokenizers` says what each fills captions up with. `prediction` is what the network predicts,
    None where two models of the same shapes predict different things.
    """

    name: str
    pipeline: str
    parts: Mapping[str, Config]
    scheduler: Config
    tokenizers: Mapping[str, str]
    prediction: str | None = "epsilon"


SIDES = (320, 640, 1280, 1280)
CLIP_L: Config = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "projection_dim": 768,
    "hidden_act": "quick_gelu",
}
CLIP_H: Config = {  # without its last layer
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 23,
    "num_attention_heads": 16,
    "projection_dim": 1024,
    "hidden_act": "gelu",
}
CLIP_G: Config = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "projection_dim": 1280,
    "hidden_act": "gelu",
}
VAE: Config = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "scaling_factor": 0.18215,
}
VAE_XL = {**VAE, "scaling_factor": 0.13025}
VAE_3 = {
    **VAE,
    "latent_channels": 16,
    "scaling_factor": 1.5305,
    "shift_factor": 0.0609,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
}
UNET_1: Config = {"sample_size": 64, "cross_attention_dim": 768}
UNET_2: Config = {
    "sample_size": 64,
    "cross_attention_dim": 1024,
    "attention_head_dim": (5, 10, 20, 20),
    "use_linear_projection": True,
    "upcast_attention": True,  # 2.1 overflows float16 without it; elsewhere it changes nothing
}
UNET_XL: Config = {
    "sample_size": 128,
    "block_out_channels": SIDES[:3],
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "cross_attention_dim": 2048,
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
DDIM: Config = {
    "_class_name": "DDIMScheduler",
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "num_train_timesteps": 1000,
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}
FLOW: Config = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}

SD1 = Known(
    "Stable Diffusion 1",
    "StableDiffusionPipeline",
    {"unet": UNET_1, "vae": VAE, "text_encoder": CLIP_L},
    DDIM,
    {"tokenizer": OF_CLIP},
)
SD2 = Known(
    "Stable Diffusion 2",
    "StableDiffusionPipeline",
    {"unet": UNET_2, "vae": VAE, "text_encoder": CLIP_H},
    DDIM,
    {"tokenizer": OF_OPEN_CLIP},
    prediction=None,
)
XL = Known(
    "Stable Diffusion XL",
    "StableDiffusionXLPipeline",
    {"unet": UNET_XL, "vae": VAE_XL, "text_encoder": CLIP_L, "text_encoder_2": CLIP_G},
    DDIM,
    {"tokenizer": OF_CLIP, "tokenizer_2": OF_OPEN_CLIP},
)
HEARD = {768: SD1, 1024: SD2, 2048: XL}  # by the width of the words that the UNet hears
INPAINTING = {
    "StableDiffusionPipeline": "StableDiffusionInpaintPipeline",
    "StableDiffusionXLPipeline": "StableDiffusionXLInpaintPipeline",
}
MASKED = 9  # channels of latents, a mask and masked latents


def _sd3(name: str, blocks: int, side: int, **more: Any) -> Known:
    transformer = {
        "sample_size": 128,
        "patch_size": 2,
        "in_channels": 16,
        "out_channels": 16,
        "num_layers": blocks,
        "num_attention_heads": blocks,
        "attention_head_dim": 64,
        "caption_projection_dim": 64 * blocks,
        "joint_attention_dim": 4096,
        "pooled_projection_dim": 2048,
        "pos_embed_max_size": side,
        **more,
    }
    return Known(
        name,
        "StableDiffusion3Pipeline",
        {
            "transformer": transformer,
            "vae": VAE_3,
            "text_encoder": CLIP_L,
            "text_encoder_2": CLIP_G,
        },
        FLOW,
        {"tokenizer": OF_CLIP, "tokenizer_2": OF_OPEN_CLIP},
    )


NORMED: Config = {"qk_norm": "rms_norm"}
SD3 = {  # by the number of blocks and of places
    (24, 192): _sd3("Stable Diffusion 3 medium", 24, 192),
    (24, 384): _sd3(
        "Stable Diffusion 3.5 medium", 24, 384, dual_attention_layers=tuple(range(13)), **NORMED
    ),
    (38, 192): _sd3("Stable Diffusion 3.5 large", 38, 192, **NORMED),
}


def known_of(tensors: Mapping[str, Stored]) -> Known | None:
    """The published model that a file has the shapes of."""
    first = shape_of(tensors, FIRST)
    if first is not None:
        known = HEARD.get(context_of(tensors) or 0)
        return known if known is None or first[1] != MASKED else _masked(known)
    places = shape_of(tensors, "pos_embed")
    if places is None:
        return None
    return SD3.get((layers(tensors, "joint_blocks"), round(places[1] ** 0.5)))


def predicting(known: Known, prediction: str) -> Known:
    """The same, of which it was said what it predicts; Stable Diffusion 2 is larger with v."""
    unet = known.parts.get("unet", {})
    larger = {"sample_size": 96} if known is SD2 and prediction == "v_prediction" else {}
    return replace(known, parts={**known.parts, "unet": {**unet, **larger}}, prediction=prediction)


@contextmanager
def written(known: Known) -> Iterator[Path]:
    """A folder as diffusers writes it, without weights."""
    with TemporaryDirectory(prefix="memaudit-") as made:
        folder = Path(made)
        _write(folder / INDEX, {"_class_name": known.pipeline})
        for part, config in known.parts.items():
            _write(folder / part / "config.json", config)
        _write(folder / "scheduler" / SCHEDULER, known.scheduler)
        for name, pad in known.tokenizers.items():
            write_clip_tokenizer(folder / name, pad)
        yield folder


def _masked(known: Known) -> Known:
    """The model for inpainting that was made of one; all of them predict noise."""
    unet = {**known.parts["unet"], "in_channels": MASKED}
    return replace(
        known,
        name=f"{known.name}, inpainting",
        pipeline=INPAINTING[known.pipeline],
        parts={**known.parts, "unet": unet},
        prediction="epsilon",
    )


def _write(path: Path, config: Config) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(config), encoding="utf-8")

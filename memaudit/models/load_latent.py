"""Open a Stable Diffusion pipeline folder as a denoiser of latents."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from diffusers.utils import logging as diffusers_logging
from safetensors import SafetensorError
from torch import nn
from transformers.utils import logging as transformers_logging

from memaudit.errors import ModelError
from memaudit.models.latent import LatentDenoiser
from memaudit.models.load import DTYPES, ModelOptions
from memaudit.models.reading import reading_from_config

CLASSES: dict[str, Any] = {
    "StableDiffusionPipeline": StableDiffusionPipeline,
    "StableDiffusionXLPipeline": StableDiffusionXLPipeline,
}


def load_latent(folder: Path, options: ModelOptions) -> LatentDenoiser:
    """Load a text-to-image pipeline with a VAE; only safetensors weights are read.

    The VAE stays in fp32 whatever the dtype of the rest. Raises ModelError for other pipelines and
    for what cannot be loaded.
    """
    pipeline = _load_pipeline(folder, _class_name(folder), options)
    for part in pipeline.components.values():
        if not isinstance(part, nn.Module):
            continue
        part.requires_grad_(False)
        for name, parameter in part.named_parameters():
            if not bool(torch.isfinite(parameter).all()):
                raise ModelError(
                    f"the weights of {type(part).__name__} in {folder} hold NaN or infinity "
                    f"({name}); copy the model again"
                )
    side = options.resolution or int(pipeline.unet.config.sample_size * pipeline.vae_scale_factor)
    factor = pipeline.vae_scale_factor * 2 ** (len(pipeline.unet.config.block_out_channels) - 1)
    if side % factor:
        raise ModelError(
            f"the resolution is {side}, expected a multiple of {factor}: the VAE and the UNet "
            "halve the image so often; say it with --resolution"
        )
    return LatentDenoiser(
        pipeline=pipeline.to(options.device),
        resolution=(side, side),
        reading=reading_from_config(pipeline.scheduler.config),
    )


def _class_name(folder: Path) -> str:
    path = folder / "model_index.json"
    try:
        name = json.loads(path.read_text(encoding="utf-8"))["_class_name"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{folder} is no pipeline folder: {path.name} cannot be read ({error!r}); give the "
            f"folder of a {' or '.join(CLASSES)}"
        ) from error
    if name not in CLASSES:
        raise ModelError(f"{folder} is a {name}; expected a {' or '.join(CLASSES)}")
    return str(name)


def _load_pipeline(folder: Path, name: str, options: ModelOptions) -> Any:
    without = {"safety_checker": None, "requires_safety_checker": False, "feature_extractor": None}
    try:
        with _without_bars():
            return CLASSES[name].from_pretrained(
                folder,
                variant=options.variant,
                dtype={"vae": torch.float32, "default": DTYPES[options.dtype]},
                use_safetensors=True,
                local_files_only=True,
                **(without if name == "StableDiffusionPipeline" else {}),
            )
    except (SafetensorError, OSError, ValueError, RuntimeError, TypeError, KeyError) as error:
        lines = " ".join(str(error).split()) or type(error).__name__
        raise ModelError(
            f"the {name} in {folder} cannot be loaded: {lines[:300]}; it needs the parts that its "
            "model_index.json names, with weights in .safetensors (a pickle can run any code, so "
            "it is never loaded)"
        ) from error


@contextmanager
def _without_bars() -> Iterator[None]:
    """Keep diffusers and transformers from drawing their own progress bars."""
    shown = [each for each in (diffusers_logging, transformers_logging) if _shows_bars(each)]
    for each in shown:
        each.disable_progress_bar()
    try:
        yield
    finally:
        for each in shown:
            each.enable_progress_bar()


def _shows_bars(logging: Any) -> bool:
    return bool(logging.is_progress_bar_enabled())

"""CLIP image towers (Radford et al. 2021; OpenCLIP, Cherti et al. 2023)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
from huggingface_hub import hf_hub_download
from PIL import Image as PillowImage
from torch import Tensor

from memaudit.errors import ConfigError, DependencyError
from memaudit.records import Image
from memaudit.similarity.embed.base import Embedder, embedder_digest
from memaudit.similarity.embed.network import NetworkEmbedder, refuse_pickle

USAGE = "open_clip:ViT-B-32/laion2b_s34b_b79k or open_clip:ViT-B-32/path/to/file.safetensors"
HUB_FILE = "open_clip_model.safetensors"


def load(argument: str, device: str) -> Embedder:
    """Load `open_clip:<model>/<pretrained tag or safetensors file>` with its own preprocessing.

    CLIP groups by subject rather than by copy, and no threshold for copies is published: .95 and
    .99 are strict conventions, not measured.
    """
    model_name, weights = _split(argument)
    tag = open_clip.get_pretrained_cfg(model_name, weights)
    path = _download(model_name, weights, tag) if tag else Path(weights)
    encode, preprocess = _create(model_name, path, tag, device)
    return NetworkEmbedder(
        name=f"open_clip:{argument}",
        dim=open_clip.get_model_config(model_name)["embed_dim"],
        digest=embedder_digest(f"{model_name}; {preprocess}", [path]),
        copy_threshold=0.95,
        duplicate_threshold=0.99,
        device=device,
        preprocess=lambda image: _apply(preprocess, image),
        encode=encode,
    )


def _split(argument: str) -> tuple[str, str]:
    model_name, _, weights = argument.partition("/")
    if not weights:
        raise ConfigError(f"The embedder open_clip needs a model and its weights: {USAGE}.")
    if model_name not in open_clip.list_models():
        raise ConfigError(
            f"open_clip has no model {model_name!r}; it has {', '.join(open_clip.list_models())}."
        )
    if open_clip.get_pretrained_cfg(model_name, weights):
        return model_name, weights
    refuse_pickle(Path(weights))
    if not Path(weights).is_file():
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(model_name)) or "none"
        raise DependencyError(
            f"{weights!r} is neither a file here nor a pretrained tag of {model_name} "
            f"(its tags: {tags}). Usage: {USAGE}."
        )
    return model_name, weights


def _download(model_name: str, weights: str, tag: dict[str, Any]) -> Path:
    """Fetch the safetensors weights of a tag; open_clip itself would fall back to a pickle."""
    repository, _, file = tag.get("hf_hub", "").rpartition("/")
    file = str(Path(file).with_suffix(".safetensors")) if file else HUB_FILE
    try:
        return Path(hf_hub_download(repository, file))
    except Exception as error:  # the hub client raises some ten unrelated classes
        raise DependencyError(
            f"The weights {weights} of {model_name} cannot be downloaded ({file} of "
            f"{repository or 'no hub repository'}): {error}. Fetch that file on another machine "
            f"and pass it as open_clip:{model_name}/path/to/file.safetensors."
        ) from error


def _create(
    model_name: str, path: Path, tag: dict[str, Any], device: str
) -> tuple[Callable[[Tensor], Tensor], Callable[[PillowImage.Image], Tensor]]:
    try:
        model, _, preprocess = open_clip.create_model_and_transforms(
            model_name,
            pretrained=str(path),
            device=device,
            force_quick_gelu=tag.get("quick_gelu", False),
            image_mean=tag.get("mean"),
            image_std=tag.get("std"),
            image_interpolation=tag.get("interpolation"),
            image_resize_mode=tag.get("resize_mode"),
        )
    except Exception as error:  # a foreign state dict fails in many ways, by architecture
        raise ConfigError(
            f"{path} does not hold the weights of {model_name}: {error}. Pass the model that the "
            f"file was saved from. Usage: {USAGE}."
        ) from error
    return model.eval().encode_image, preprocess


def _apply(preprocess: Callable[[PillowImage.Image], Tensor], image: Image) -> Tensor:
    return preprocess(PillowImage.fromarray(image))

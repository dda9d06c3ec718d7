"""DINOv2 (Oquab et al. 2023): the CLS token, as the audit of Daras et al. 2024 uses it.

Their attack by inpainting compares tokens of patches, which are here for hidden parts.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch
from huggingface_hub import snapshot_download
from safetensors import SafetensorError
from torch import Tensor
from transformers import Dinov2Model
from transformers.utils import logging as transformers_logging

from memaudit.data.resize import resize
from memaudit.errors import ConfigError, DependencyError, ModelError
from memaudit.foreign import read_json, refusing
from memaudit.models.weights import OF_TRANSFORMERS, staged, weight_files
from memaudit.records import Image
from memaudit.similarity.embed.base import Embedder, embedder_digest
from memaudit.similarity.embed.network import PatchNetworkEmbedder

SIDE = 224
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
FILES = ("*.safetensors", "config.json", "preprocessor_config.json")
INDEX = "*.safetensors.index.json"


def load(argument: str, device: str) -> Embedder:
    """Load `dinov2:<folder or hub id>`; only safetensors weights are read.

    Copies from .90, the lowest of the thresholds .90 / .95 / .99 of Daras et al. 2024. Near
    copies from .99, the strictest of them, not measured here. Patches are the other tokens of the
    last layer, normalised as the CLS token is.
    """
    if not argument:
        raise ConfigError(
            "The embedder dinov2 needs weights: dinov2:path/to/folder or "
            "dinov2:facebook/dinov2-base."
        )
    folder = _fetch(argument)
    weights = _weights(folder)
    model = _load_model(folder, weights).to(device)
    colours = _read_colours(folder)
    files = [*weights, *(folder / name for name in FILES[1:] if (folder / name).is_file())]
    rows, columns = (SIDE // side for side in model.embeddings.patch_embeddings.patch_size)
    return PatchNetworkEmbedder(
        name=f"dinov2:{argument}",
        dim=model.config.hidden_size,
        digest=embedder_digest(f"resize {SIDE} stretch; {colours.tolist()}; CLS", files),
        copy_threshold=0.90,
        duplicate_threshold=0.99,
        device=device,
        preprocess=partial(_preprocess, colours=colours),
        encode=lambda batch: model(pixel_values=batch).last_hidden_state[:, 0],
        grid=(rows, columns),
        encode_patches=lambda batch: model(pixel_values=batch).last_hidden_state[:, 1:],
    )


def _fetch(argument: str) -> Path:
    if Path(argument).is_dir():
        return Path(argument)
    try:
        return Path(snapshot_download(argument, allow_patterns=[*FILES, INDEX]))
    except Exception as error:  # the hub client raises some ten unrelated classes
        raise DependencyError(
            f"dinov2: {argument!r} is no folder here and cannot be downloaded: {error}. Download "
            f"its {', '.join(FILES)} from the hub on another machine and pass the folder as "
            "dinov2:path/to/folder."
        ) from error


def _weights(folder: Path) -> list[Path]:
    try:
        return weight_files(folder, None, OF_TRANSFORMERS)
    except ModelError as error:
        raise ConfigError(f"{folder} does not hold a DINOv2 model: {error}") from error


def _load_model(folder: Path, weights: list[Path]) -> Dinov2Model:
    bars_were_on = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        with staged(folder, weights, OF_TRANSFORMERS) as stage:
            model, report = Dinov2Model.from_pretrained(
                stage, use_safetensors=True, local_files_only=True, output_loading_info=True
            )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ConfigError(
            f"{folder} does not hold a DINOv2 model: {error}. Expected config.json and "
            "*.safetensors of transformers' Dinov2Model."
        ) from error
    finally:
        if bars_were_on:
            transformers_logging.enable_progress_bar()
    if report["missing_keys"]:
        raise ConfigError(
            f"{folder} lacks {len(report['missing_keys'])} weights of its DINOv2 model (one: "
            f"{min(report['missing_keys'])}), which would be random. Pass a complete checkpoint."
        )
    return model.eval()


def _read_colours(folder: Path) -> Tensor:
    """Mean and standard deviation of the colours, [2, 3, 1, 1], in 0..1."""
    file = folder / "preprocessor_config.json"
    with refusing(ConfigError, f"{file} does not state mean and deviation of three colours"):
        stated = read_json(file) if file.is_file() else {}
        values = IMAGENET | {key: stated[key] for key in IMAGENET if key in stated}
        return torch.tensor([values["image_mean"], values["image_std"]]).reshape(2, 3, 1, 1)


def _preprocess(image: Image, colours: Tensor) -> Tensor:
    small = np.ascontiguousarray(resize(image, (SIDE, SIDE), "stretch").transpose(2, 0, 1))
    return (torch.from_numpy(small).float() / 255 - colours[0]) / colours[1]

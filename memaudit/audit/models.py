"""Open whatever MODEL names: a diffusers model, or the perfect memorizer of some images."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from memaudit.config import CLOSED_FORM, ScanConfig
from memaudit.data import decode, fingerprint, open_source, resize
from memaudit.errors import ConfigError, ModelError, UnreadableImageError
from memaudit.models.closed_form import ClosedForm
from memaudit.models.codec import encode_pixels
from memaudit.models.device import resolve_device
from memaudit.models.load import load_model
from memaudit.models.loaded import Loaded, ModelOptions
from memaudit.records import Image

LARGEST = 256  # pixels a side; a perfect memorizer keeps every image in memory


def open_model(config: ScanConfig) -> Loaded:
    """Load the model under audit; raises ModelError if it cannot be audited."""
    if config.model.startswith(CLOSED_FORM):
        return _closed_form(config.model.removeprefix(CLOSED_FORM), config)
    device = resolve_device(config.device)
    if device.type == "cpu" and config.dtype != "float32":
        raise ConfigError(
            f"--dtype {config.dtype} is for a GPU; on the CPU it is slower than float32 and less "
            "exact. Leave it out"
        )
    options = ModelOptions(
        revision=config.revision,
        variant=config.variant,
        dtype=config.dtype,
        device=str(device),
        local_files_only=config.local_files_only,
        resolution=config.resolution,
        base=config.base_model,
    )
    return load_model(config.model, options)


def _closed_form(path: str, config: ScanConfig) -> Loaded:
    source = open_source(
        path,
        image_column=config.data.image_column,
        caption_column=config.data.caption_column,
        split=config.data.split,
    )
    entries = source.entries()
    images: list[NDArray[np.uint8]] = []
    for entry in entries:
        try:
            image = decode(source.read(entry)).image
        except UnreadableImageError:
            continue
        size = config.resolution or (images[0].shape[0] if images else _native_size(image))
        images.append(resize(image, (size, size), config.data.resize))
    if not images:
        raise ModelError(f"none of the {len(entries)} images of {path} can be read")
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    denoiser = ClosedForm(encode_pixels(pixels, 3).to(resolve_device(config.device)))
    provenance = {
        "model": config.model,
        "family": "closed-form",
        "images": len(images),
        "unreadable": len(entries) - len(images),
        "fingerprint": fingerprint(entries),
    }
    return Loaded(denoiser, provenance)


def _native_size(image: Image) -> int:
    return min(int(image.shape[0]), int(image.shape[1]), LARGEST)

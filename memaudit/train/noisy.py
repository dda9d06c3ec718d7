"""The noisy copies that an ambient model is trained on: one draw an image, kept as evidence."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from memaudit.config import TrainConfig
from memaudit.models.ambient import RECORD, Ambient
from memaudit.models.denoiser import encode_pixels
from memaudit.reports.files import write_json
from memaudit.stages import corrupt
from memaudit.train.images import TrainingImages

FOLDER = "noisy"
PART = 256  # images a file


def frozen_noise(config: TrainConfig, ids: list[str]) -> Tensor:
    """Noise [B, 3, R, R] of some images, a function of (seed, image, sigma_n) and nothing else.

    It must never be drawn again: the mean of many noisy copies of an image is the clean image.
    """
    sigma_n = config.sigma_n or 0.0
    shape = (3, config.resolution, config.resolution)
    return corrupt.frozen_noise(ids, shape, sigma_n, config.seed)


def write_noisy_copies(config: TrainConfig, images: TrainingImages) -> None:
    """Write noisy/part-*.safetensors: id of the image -> x_n [3, R, R], for images in [-1, 1]."""
    folder = Path(config.out) / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for number, start in enumerate(range(0, len(images), PART)):
        path = folder / f"part-{number:05d}.safetensors"
        if path.is_file():
            continue
        rows = range(start, min(start + PART, len(images)))
        ids = [images.ids[k] for k in rows]
        x0 = encode_pixels(torch.stack([images[k] for k in rows]), 3)
        noisy = x0 + (config.sigma_n or 0.0) * frozen_noise(config, ids)
        temporary = path.with_suffix(".tmp")
        save_file({name: x_n.clone() for name, x_n in zip(ids, noisy, strict=True)}, temporary)
        temporary.replace(path)


def write_record(config: TrainConfig) -> None:
    """Say beside the model what it was trained on and from which noise it can be sampled."""
    record = Ambient(loss=config.loss, sigma_n=config.sigma_n or 0.0, seed=config.seed)
    write_json(Path(config.out) / RECORD, record.content())

"""Pictures that show how far a training is: samples of the averaged weights."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from memaudit.attacks.samplers import euler, sampling_sigmas
from memaudit.files import in_place
from memaudit.models.denoiser import Denoiser

SIDE = 4  # images along each side of a grid
STEPS = 20


@torch.inference_mode()
def write_grid(path: Path, denoiser: Denoiser, seed: int) -> None:
    """Sample 16 images from noise that is always the same, and write them as one PNG.

    The noise has a generator of its own, so that the training draws what it would have drawn.
    """
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(SIDE**2, *denoiser.shape, generator=generator).to(denoiser.device)
    sigma = torch.full((SIDE**2,), denoiser.sigma_max, device=noise.device)
    sigmas = sampling_sigmas(sigma, denoiser.sigma_min, STEPS)
    images = denoiser.decode(euler(denoiser.denoise, denoiser.sigma_max * noise, sigmas))
    path.parent.mkdir(parents=True, exist_ok=True)
    with in_place(path) as temporary:
        Image.fromarray(_tile(images).cpu().numpy()).save(temporary, format="PNG")


def _tile(images: Tensor) -> Tensor:
    """[16, 3, R, R] -> [4 R, 4 R, 3]."""
    _, channels, height, width = images.shape
    rows = images.view(SIDE, SIDE, channels, height, width).permute(0, 3, 1, 4, 2)
    return rows.reshape(SIDE * height, SIDE * width, channels)

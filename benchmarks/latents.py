"""What the small latent models of these benchmarks share: a VAE, their images, and a training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image
from torch import Tensor
from torch.nn.functional import mse_loss

from memaudit.demo.tiles import SIZE, cut_tiles
from memaudit.models.codec import encode_pixels

VAE_STEPS, KL = 1500, 1e-5
BATCH = 16
CELLS = SIZE // 2  # a side of a latent


def trained_vae(folder: Path) -> AutoencoderKL:
    """A VAE of latents [4, 16, 16] with a standard deviation of 1, or the one that is there."""
    if (folder / "config.json").is_file():
        return AutoencoderKL.from_pretrained(folder)
    torch.manual_seed(0)
    vae = AutoencoderKL(
        block_out_channels=(32, 64),
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
        up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
        latent_channels=4,
        norm_num_groups=8,
        sample_size=SIZE,
        scaling_factor=1.0,
    ).to(memory_format=torch.channels_last)
    images = pixels([tile.image for tile in cut_tiles()])
    optimizer = torch.optim.AdamW(vae.parameters(), lr=1e-3)
    for step, batch in enumerate(batches(len(images), VAE_STEPS)):
        posterior = vae.encode(images[batch]).latent_dist
        error = mse_loss(vae.decode(posterior.sample()).sample, images[batch])
        loss = error + KL * posterior.kl().mean()
        descend(optimizer, loss, step, VAE_STEPS, 1e-3)
        show("vae", step, VAE_STEPS, error)
    with torch.no_grad():
        spread = float(
            torch.cat([vae.encode(few).latent_dist.mode() for few in images.split(256)]).std()
        )
    vae.register_to_config(scaling_factor=1 / spread)
    vae.save_pretrained(folder)
    return vae.eval()


def encoded(vae: AutoencoderKL, x: Tensor) -> Tensor:
    return vae.encode(x).latent_dist.mode() * vae.config.scaling_factor


def pixels(images: list[np.ndarray]) -> Tensor:
    stacked = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    return encode_pixels(stacked, 3).contiguous(memory_format=torch.channels_last)


def read(folder: Path) -> list[np.ndarray]:
    return [np.asarray(Image.open(path).convert("RGB")) for path in sorted(folder.glob("*.png"))]


def batches(count: int, steps: int) -> Iterator[list[int]]:
    """Each image once in each round, in an order of its own."""
    random, left = np.random.default_rng(0), []
    for _ in range(steps):
        while len(left) < BATCH:
            left += random.permutation(count).tolist()
        yield left[:BATCH]
        left = left[BATCH:]


def descend(
    optimizer: torch.optim.Optimizer, loss: Tensor, step: int, steps: int, rate: float
) -> None:
    """One step, at a rate that warms up over 100 steps and falls to a twentieth."""
    factor = min((step + 1) / 100, 0.05 + 0.95 * (1 + np.cos(np.pi * step / steps)) / 2)
    for group in optimizer.param_groups:
        group["lr"] = rate * factor
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], 1.0)
    optimizer.step()


def show(name: str, step: int, steps: int, loss: Tensor) -> None:
    if (step + 1) % 200 == 0 or step + 1 == steps:
        print(f"{name}: step {step + 1} of {steps}, loss {loss.item():.4f}", flush=True)

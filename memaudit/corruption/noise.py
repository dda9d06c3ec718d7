"""Corruption: Gaussian noise that depends on (seed, image, level, draw) and on nothing else."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import pdist
from torch import Tensor

GRID = (0.03, 0.6)  # of the identification limit, where reconstruction can tell images apart
WEAK = (0.02, 0.037)  # of the limit, where a network's error shows which images it knows
HALF = 0.7  # of the limit: a memorizer keeps half of its weight on an image that was seen once
ABOVE = (1.0, 1.6)  # of the limit: levels for images that copies or captions tell apart there


def generator(
    seed: int, example_id: str, level: float, draw: int, kind: str = ""
) -> np.random.Generator:
    """Everything random about one corrupted image and its reconstruction comes from here.

    `level` is the sigma of noise, or the share that a `kind` of mask or blur hides.

    The first standard normals are the corruption; a stochastic sampler draws the following ones.
    Batches, shards, machines and models do not enter.
    """
    key = f"{seed}|{example_id}|{level:.6g}|{draw}{f'|{kind}' if kind else ''}".encode()
    return np.random.Generator(np.random.Philox(int.from_bytes(hashlib.sha256(key).digest()[:16])))


def standard_normal(generators: list[np.random.Generator], shape: tuple[int, ...]) -> Tensor:
    """[B, *shape] float32, row k from generator k, drawn on the CPU."""
    rows = [g.standard_normal(shape, dtype=np.float32) for g in generators]
    return torch.from_numpy(np.stack(rows))


def frozen_noise(
    ids: list[str], shape: tuple[int, ...], sigma_n: float, seed: int, draw: int = 0
) -> Tensor:
    """Noise z [B, *shape] of noisy training copies x0 + sigma_n z, by the ids of the images.

    Draw 0 is what `memaudit train` freezes; later draws are fresh noise of the same law.
    """
    generators = [generator(seed, example_id, sigma_n, draw) for example_id in ids]
    return standard_normal(generators, shape)


def corrupt(x0: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
    """Add noise: x = x0 + sigma n with x0 and n [B, C, H, W] and sigma [B], in float32."""
    return x0 + per_row(sigma, x0) * noise


def identification_limit(images: NDArray[np.float32], members: int) -> float:
    """sigma_id = Delta / sqrt(2 ln N): where noise hides which image it was added to.

    `images` [P, D] is a sample of the pool in model space, Delta its median pairwise distance and
    N the number of members, at least 2. Of images that it saw once and is told nothing of, the
    perfect memorizer puts weight 1 on the source at 0.3 sigma_id, about a half at 0.7 and hardly
    any at 1.5; copies and captions raise that.
    """
    delta = float(np.median(pdist(images)))
    return delta / math.sqrt(2 * math.log(max(2, members)))


def noise_grid(limit: float, levels: int) -> list[float]:
    """Log grid of `levels` sigmas in 0.03 .. 0.6 of the limit, four significant digits."""
    low, high = GRID[0] * limit, GRID[1] * limit
    grid = np.geomspace(low, high, levels) if levels > 1 else np.array([math.sqrt(low * high)])
    return [float(f"{sigma:.4g}") for sigma in grid.tolist()]


def weak_grid(limit: float, levels: int, lowest: float) -> list[float]:
    """Log grid of `levels` sigmas in 0.02 .. 0.037 of the limit, four significant digits.

    None lies below `lowest`, the least noise that a model knows; where the grid would, it begins
    there, and ends where it would or is as wide as it would be.
    """
    low = max(WEAK[0] * limit, lowest)
    high = max(WEAK[1] * limit, low * WEAK[1] / WEAK[0])
    return [float(f"{sigma:.4g}") for sigma in np.geomspace(low, high, levels).tolist()]


def levels_above(limit: float, members: int, rivals: float) -> list[float]:
    """The levels above the grid at which some image can still be told, of one in `rivals`.

    An image that was seen c times is one of N / c; one with a caption of its own is one of 1. Its
    weight falls to a half at HALF Delta / sqrt(2 ln rivals), as that of an image seen once does
    at HALF sigma_id: in either case the noise hides as many images as there are. No level lies
    above the last of ABOVE, where only captions and very many copies show anything.
    """
    seen_once = math.log(max(2, members))
    half = HALF * math.sqrt(seen_once / math.log(rivals)) if rivals > 1 else math.inf
    return [float(f"{share * limit:.4g}") for share in ABOVE if share <= half]


def snr_db(sigma: float) -> float:
    """Signal-to-noise ratio in dB of x = x0 + sigma n, for a signal of unit power."""
    return -20 * math.log10(sigma)


def seen_db(hidden: float) -> float:
    """What is left of an image of which a share is hidden: seen to hidden, in dB."""
    return 10 * math.log10((1 - hidden) / hidden)


def sigma_of_snr_db(snr: float) -> float:
    """The inverse of `snr_db`."""
    return float(10 ** (-snr / 20))


def per_row(values: Tensor, x: Tensor) -> Tensor:
    """[B] -> [B, 1, 1, 1], to multiply a batch row by row."""
    return values.view(-1, *(1,) * (x.ndim - 1))

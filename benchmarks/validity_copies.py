"""Noisy copies of slightly other pixels: is a model that learned nothing taken for a memorizer?

    python benchmarks/validity_copies.py

Tiles of 64 px of the photographs that ship inside scikit-image, scanned at 32 px (bicubic).
Members' copies are made of the same tiles through another filter, a JPEG or rounding, in noise of
.4; the model is the best linear denoiser, which learned no image. 60 members and 405 controls, 40
scans of each kind, asked for their copies alone. Expected: with the test of the copies evidence in
at most .05 plus two standard errors of the scans, and copies of the same pixels trusted in at least
.95 of 400 draws, less two standard errors. Two to five minutes on one slow core.
"""

from __future__ import annotations

import io
import math
import os
import sys
from collections.abc import Callable

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from skimage import data as photographs

from memaudit.audit.white_noise import Prior, WhiteNoise
from memaudit.demo.tiles import photographs_by_name
from memaudit.records import Image
from memaudit.statistics.combine import standardise
from memaudit.statistics.conformal import benjamini_hochberg, conformal_p
from memaudit.statistics.dataset import dataset_test
from memaudit.statistics.doubts import HALF_LEVEL
from memaudit.statistics.sample import Sample

TILE, SIZE, CONTRAST = 64, 32, 12.0
SIGMA_N, SIGMAS = 0.4, (0.6, 1.5)
MEMBERS, SCANS, DRAWS, ROUNDS = 60, 40, 400, 199
LARGEST, TRUSTED = 0.05, 0.95
Array = NDArray[np.float64]
Resampling = PillowImage.Resampling


def main() -> int:
    rng = np.random.default_rng(0)
    large = tiles(rng)
    scanned = pixels(large, resized(Resampling.BICUBIC))
    print(
        f"{'copies of':12}{'grey levels off':>16}{'trusted':>9}{'before':>8}{'after':>7}  expected"
    )
    good = [report(name, pixels(large, way), scanned) for name, way in ways(rng).items()]
    return 0 if all([*good, same_pixels(scanned)]) else 1


def report(name: str, trained: Array, scanned: Array) -> bool:
    """Scans with evidence of an innocent model, and with it and trusted copies."""
    runs = [scan(trained, scanned, np.random.default_rng((1, seed))) for seed in range(SCANS)]
    trusted, evidence = (np.array(one) for one in zip(*runs, strict=True))
    before, after = evidence.mean(), (evidence & trusted).mean()
    off = 127.5 * np.sqrt(np.mean((trained - scanned) ** 2))
    good = bool(after <= LARGEST + 2 * math.sqrt(LARGEST * (1 - LARGEST) / SCANS))
    said = "yes" if good else "NO"
    print(f"{name:12}{off:16.2f}{trusted.mean():9.2f}{before:8.2f}{after:7.2f}  {said}", flush=True)
    return good


def same_pixels(scanned: Array) -> bool:
    """Share of draws in which copies of the scan's own pixels are trusted."""
    rng = np.random.default_rng(2)
    draws = [scanned[rng.permutation(len(scanned))[:MEMBERS]] for _ in range(DRAWS)]
    share = np.mean([trusts(x0, SIGMA_N * rng.standard_normal(x0.shape)) for x0 in draws])
    good = bool(share >= TRUSTED - 2 * math.sqrt(TRUSTED * (1 - TRUSTED) / DRAWS))
    print(f"same pixels, {DRAWS} draws: trusted {share:.3f}  {'yes' if good else 'NO'}")
    return good


def scan(trained: Array, scanned: Array, rng: np.random.Generator) -> tuple[bool, bool]:
    """Whether the copies are trusted, and whether they alone are evidence at their level."""
    order = rng.permutation(len(scanned))
    x0, seen = scanned[order], scanned[order].copy()
    seen[:MEMBERS] = trained[order[:MEMBERS]]
    copies = seen + SIGMA_N * rng.standard_normal(seen.shape)
    found = scores(x0, copies, rng)
    members, controls = found[:MEMBERS], found[MEMBERS:]
    q = benjamini_hochberg(conformal_p(members, controls)).min()
    p = dataset_test(Sample.of(members), Sample.of(controls), ROUNDS, 0).p_value
    return trusts(x0[:MEMBERS], (copies - x0)[:MEMBERS]), bool(2 * min(q, p) <= HALF_LEVEL)


def scores(x0: Array, copies: Array, rng: np.random.Generator) -> Array:
    """Correlation of the best linear denoiser's error with the copies' noise, levels averaged."""
    prior = Prior.of(x0)
    levels = []
    for sigma in SIGMAS:
        added = math.sqrt(sigma**2 - SIGMA_N**2) * rng.standard_normal(x0.shape)
        kept = prior.power / (prior.power + sigma**2)
        spectrum = np.fft.fft2(copies + added - prior.mean)
        error = (np.fft.ifft2(spectrum * kept).real + prior.mean - x0).reshape(len(x0), -1)
        noise = (copies - x0).reshape(len(x0), -1)
        lengths = np.linalg.norm(error, axis=1) * np.linalg.norm(noise, axis=1)
        levels.append((error * noise).sum(1) / lengths)
    means: Array = standardise(np.column_stack(levels)).mean(axis=1)
    return means


def trusts(x0: Array, noise: Array) -> bool:
    test = WhiteNoise(Prior.of(x0), SIGMA_N)
    test.add(x0, noise)
    return not test.result().doubt


def ways(rng: np.random.Generator) -> dict[str, Callable[[Image], Image]]:
    """How the training may have made its pixels."""
    same = resized(Resampling.BICUBIC)
    filters = (Resampling.HAMMING, Resampling.BILINEAR, Resampling.BOX, Resampling.LANCZOS)

    def rounded(image: Image) -> Image:
        off = rng.integers(-1, 2, (SIZE, SIZE, 3))
        return np.clip(same(image).astype(np.int64) + off, 0, 255).astype(np.uint8)

    return {
        "same": same,
        **{one.name.lower(): resized(one) for one in filters},
        "JPEG 90": lambda image: jpeg(same(image)),
        "+-1 level": rounded,
    }


def tiles(rng: np.random.Generator) -> list[Image]:
    """Tiles that show something, in a random order."""
    every = [*photographs_by_name().values(), photographs.retina()]
    found = [
        photograph[y : y + TILE, x : x + TILE]
        for photograph in every
        for y in range(0, photograph.shape[0] - TILE + 1, TILE)
        for x in range(0, photograph.shape[1] - TILE + 1, TILE)
    ]
    found = [tile for tile in found if tile.mean(2).std() > CONTRAST]
    return [found[k] for k in rng.permutation(len(found))[:465]]


def pixels(large: list[Image], way: Callable[[Image], Image]) -> Array:
    """[N, 3, 32, 32] in [-1, 1]."""
    return np.stack([way(tile) for tile in large]).transpose(0, 3, 1, 2) / 127.5 - 1


def resized(by: PillowImage.Resampling) -> Callable[[Image], Image]:
    return lambda image: np.asarray(PillowImage.fromarray(image).resize((SIZE, SIZE), by))


def jpeg(image: Image) -> Image:
    buffer = io.BytesIO()
    PillowImage.fromarray(image).save(buffer, "JPEG", quality=90)
    return np.asarray(PillowImage.open(buffer))


if __name__ == "__main__":
    sys.exit(main())

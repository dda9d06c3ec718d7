"""Is what copies hold beyond their images white noise, or do they hold other pixels too?

A copy y of other pixels than the scan reads holds x_train - x_scan in y - x_scan. That is what the
score correlates an answer with, so that a model which learned nothing looks as if it had.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

FEWEST = 20  # images below which a filter that is not foreseen cannot be told from chance
AHEAD = 0.03  # level of the test of what an innocent model is moved by, one-sided
REST = 0.01  # and of all else together
BANDS = 8  # of spatial frequency, from 0 to the finest
NOISES = (1.25, 2.0, 4.0)  # times sigma_n: where an innocent model is imagined
Array = NDArray[np.float64]
Spectrum = NDArray[np.complex128]


@dataclass(frozen=True)
class Prior:
    """What the best linear denoiser knows: mean [C, H, W] and power of each frequency [H, W]."""

    mean: Array
    power: Array

    @classmethod
    def of(cls, x0: Array) -> Prior:
        """That of some images [N, C, H, W]."""
        mean = x0.mean(axis=0)
        return cls(mean, (np.abs(_spectrum(x0 - mean)) ** 2).mean(axis=(0, 1)))


@dataclass(frozen=True)
class Whiteness:
    """How the noise of `images` copies agrees with white noise of its own strength.

    `rms` is that strength over sigma_n. `ahead` is the p-value, one-sided, that noise alone moves
    the score of an innocent model up so far; `rest` is that of spectrum, edges, bands and single
    images together, after Bonferroni.
    """

    images: int
    rms: float
    ahead: float
    rest: float

    @property
    def doubt(self) -> str:
        """Why scores of the copies carry no verdict; empty if they do."""
        if self.images < FEWEST:
            return (
                f"with {self.images} copies, expected at least {FEWEST}, it cannot be told whether "
                "they were made of the pixels that this scan reads"
            )
        if self.ahead <= AHEAD or self.rest <= REST:
            return (
                "they hold more than white noise beside the pixels that this scan reads (p "
                f"{min(self.ahead, self.rest):.2g}), as if made of images that were resized or "
                "compressed otherwise"
            )
        return ""


class WhiteNoise:
    """Sums over batches of copies, so that all of them are tested whatever memory holds."""

    def __init__(self, prior: Prior, sigma_n: float) -> None:
        self._prior, self._sigma_n = prior, sigma_n
        self._along: list[Array] = []  # <template, noise> by image
        self._lengths: list[Array] = []  # and the template's square
        self._energy: list[Array] = []  # of the noise, by image and band

    def add(self, x0: Array, noise: Array) -> None:
        """Take in images and what their copies differ by, both [N, C, H, W]."""
        held, image = _spectrum(noise / self._sigma_n), _spectrum(x0 - self._prior.mean)
        bands = _bands(held.shape[2:])
        templates = list(self._templates(image, bands))
        dot = [np.real(np.conj(one) * held).sum((1, 2, 3)) for one in templates]
        square = [(np.abs(one) ** 2).sum((1, 2, 3)) for one in templates]
        self._along.append(np.stack(dot, axis=1))
        self._lengths.append(np.stack(square, axis=1))
        power = (np.abs(held) ** 2).sum(1)
        self._energy.append(np.stack([power[:, band].sum(1) for band in bands], axis=1))

    def result(self) -> Whiteness:
        """Test all that was taken in; there must be an image."""
        along, lengths = np.concatenate(self._along), np.concatenate(self._lengths)
        energy = np.concatenate(self._energy)
        cells = np.array([band.sum() for band in _bands(self._prior.power.shape)])
        cells = cells * len(self._prior.mean)
        rms = math.sqrt(energy.sum() / (len(energy) * cells.sum()))
        told = lengths.sum(0) > 0
        pooled = along.sum(0)[told] / np.sqrt(lengths.sum(0)[told]) / rms
        single = _ratio(along, np.sqrt(lengths))[:, told] / rms
        rest = np.concatenate(
            [
                2 * stats.norm.sf(np.abs(pooled)),
                stats.chi2.sf((single**2).sum(0), (lengths[:, told] > 0).sum(0)),
                2 * len(single) * stats.norm.sf(np.abs(single).max(0)),
                _energies(energy / rms**2, cells),
            ]
        )
        return Whiteness(
            images=len(energy),
            rms=rms,
            ahead=float(stats.norm.sf(pooled[0])),
            rest=float(min(1.0, len(rest) * rest.min())),
        )

    def _templates(self, image: Spectrum, bands: list[NDArray[np.bool_]]) -> Iterable[Spectrum]:
        """What other pixels may be like: the innocent model's error first, which moves the score.

        A small linear filter of the image is one of its bands, grey or colour; a shift is one of
        its gradients.
        """
        yield self._error(image)
        yield np.broadcast_to(_spectrum(np.ones(image.shape[1:])), image.shape)
        fy, fx = _frequencies(image.shape[2:])
        for filter_ in (1j * fy, 1j * fx, fy**2, fx**2, fy * fx):
            yield filter_ * image
        grey = np.broadcast_to(image.mean(axis=1, keepdims=True), image.shape)
        for part in (grey, image - grey):
            for band in bands:
                yield part * band

    def _error(self, image: Spectrum) -> Spectrum:
        """Error of the best linear denoiser but for what noise adds, over its expected length."""
        total = np.zeros_like(image)
        for times in NOISES:
            sigma = times * self._sigma_n
            kept = self._prior.power / (self._prior.power + sigma**2)
            missing = (kept - 1) * image
            noise = image.shape[1] * sigma**2 * (kept**2).sum()
            length = np.sqrt((np.abs(missing) ** 2).sum((1, 2, 3)) + noise)
            total += missing / length[:, None, None, None]
        return total


def _energies(energy: Array, cells: Array) -> Array:
    """P-values of the noise's energy: of each band over images, and of each image over bands."""
    n, total = len(energy), float(cells.sum())
    of_band = energy.sum(0) / (n * cells) - 1
    bands = of_band / np.sqrt(2 / (n * cells) * (1 - cells / total))
    of_image = (energy.sum(1) - total) / math.sqrt(2 * total)
    images = n * 2 * stats.norm.sf(np.abs(of_image).max())
    return np.append(2 * stats.norm.sf(np.abs(bands)), min(1.0, images))


def _spectrum(x: Array) -> Spectrum:
    return np.fft.fft2(x, norm="ortho")


def _frequencies(size: tuple[int, ...]) -> tuple[Array, Array]:
    """Of the rows [H, 1] and columns [1, W], cycles a pixel; the finest has no sign, and is 0."""
    rows, columns = (np.where(np.abs(f) < 0.5, f, 0.0) for f in map(np.fft.fftfreq, size))
    return rows[:, None], columns[None, :]


def _bands(size: tuple[int, ...]) -> list[NDArray[np.bool_]]:
    """Rings of frequencies [H, W]; those that hold none are left out."""
    rows, columns = map(np.fft.fftfreq, size)
    radius = np.hypot(rows[:, None], columns[None, :])
    ring = np.minimum(BANDS - 1, (radius / 0.5 * BANDS).astype(np.int64))
    return [ring == k for k in range(BANDS) if (ring == k).any()]


def _ratio(a: Array, b: Array) -> Array:
    return np.divide(a, b, out=np.zeros_like(a), where=b > 0)

"""What is left to see of images through masks, blurs and smaller sizes: y = A x0 + sigma n.

Each A keeps every coefficient of an orthonormal basis by a gain from 0 (hidden) to 1 (seen), as in
Kawar et al. 2022 (arXiv 2201.11793). Noise that is white in the basis is white in pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Cosines:
    """The orthonormal cosine transform (DCT-II) of blocks of `height` x `width` pixels.

    Blocks of one pixel are the pixels themselves.
    """

    height: int = 1
    width: int = 1

    @property
    def pixelwise(self) -> bool:
        """Whether a coefficient is a pixel."""
        return (self.height, self.width) == (1, 1)

    def of(self, x: Tensor) -> Tensor:
        """Pixels [..., H, W] -> coefficients, each where its block is."""
        return self._turned(x, _cosines(self.height), _cosines(self.width))

    def back(self, coefficients: Tensor) -> Tensor:
        """The inverse."""
        return self._turned(coefficients, _cosines(self.height).T, _cosines(self.width).T)

    def _turned(self, x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        if self.pixelwise:
            return x
        height, width = x.shape[-2:]
        tall, wide = height // self.height, width // self.width
        blocks = x.reshape(*x.shape[:-2], tall, self.height, wide, self.width)
        turned = torch.einsum("...ahbw,kh,lw->...akbl", blocks, rows.to(x), columns.to(x))
        return turned.reshape(x.shape)


@dataclass(frozen=True, eq=False)
class View:
    """What is seen of B images: a `gain` [B, 1, H, W] from 0 to 1 in a basis."""

    gain: Tensor
    basis: Cosines

    def of(self, x: Tensor) -> Tensor:
        """A x: [B, C, H, W] -> what is seen of it, in the basis."""
        return self.gain * self.basis.of(x)

    def back(self, seen: Tensor) -> Tensor:
        """The transpose of A."""
        return self.basis.back(self.gain * seen)

    @cached_property
    def hidden(self) -> Tensor:
        """[B, 1, H, W] from 0 to 1: how much of each coefficient is hidden."""
        return 1 - self.gain.square()

    def removed(self, x: Tensor) -> Tensor:
        """What A removes of images, in pixels: [B, C, H, W]."""
        return self.basis.back(self.hidden.sqrt() * self.basis.of(x))

    def row(self, k: int) -> View:
        """What is seen of one of the images."""
        return View(self.gain[k : k + 1], self.basis)


@dataclass(frozen=True, eq=False)
class Seen:
    """`y` [B, C, H, W]: what a view leaves of images, with noise `sigma` on it; in the basis.

    In a space of latents, `encoded` [B, C, h, w] is the image with what is hidden in grey.
    `covered`: the noise is strong, so that what is under it is restored with the rest.
    """

    y: Tensor
    view: View
    sigma: float
    encoded: Tensor | None = None
    covered: bool = False

    @classmethod
    def of(cls, x0: Tensor, view: View, sigma: float, noise: Tensor) -> Seen:
        """Look at images [B, C, H, W] through noise, standard normal where something is seen."""
        seen = view.of(x0) + sigma * noise
        return cls(seen * (view.gain > 0), view, sigma)

    def shown(self, x: Tensor) -> Tensor:
        """Images whose seen part is what was seen, and whose hidden part is that of `x`.

        All is that of `x` where what was seen is covered with noise.
        """
        if self.covered:
            return x
        whole = torch.where(self.view.gain >= 1, self.y, self.view.basis.of(x))
        return self.view.basis.back(whole)

    def only(self) -> Tensor:
        """What was seen, as an image: nothing where nothing is."""
        return self.view.basis.back(self.y)


def _cosines(size: int) -> Tensor:
    """[size, size]: row k is the k-th cosine of length 1."""
    places = (torch.arange(size, dtype=torch.float64) + 0.5) * math.pi / size
    waves = torch.cos(torch.arange(size, dtype=torch.float64)[:, None] * places)
    waves[0] /= math.sqrt(2)
    return waves * math.sqrt(2 / size)

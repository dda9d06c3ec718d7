"""Masks, blurs and smaller sizes: what each hides, drawn anew for each image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor

from memaudit.config import BY_SHARE, OBJECT, HidingKind
from memaudit.corruption.linear import Cosines
from memaudit.corruption.mask import box_sides, draw_mask
from memaudit.errors import ConfigError

USUAL = 0.25  # share that a box around an object hides, where none is known yet
HALF = 0.5
SCATTERED = ("mask-random", "noise+mask")  # pixels of their own, here and there
MOST_SEEN, LEAST_SEEN = 0.25, 0.01  # of an image: where automatic levels begin and end
WINDOW = 0.3  # of the limit at which what is seen tells which of the members it is of
SIDES = ("top", "bottom", "left", "right")


@dataclass(frozen=True)
class Frame:
    """A rectangle in an image, by its edges as shares of the sides, 0 to 1 from the upper left."""

    top: float
    left: float
    bottom: float
    right: float

    def hides(self, size: tuple[int, int]) -> float:
        """How much it hides of an image of `size`, in whole pixels."""
        return 1 - float(self.gain(size).mean())

    def gain(self, size: tuple[int, int]) -> Tensor:
        """What is seen beside it of an image of `size`: it hides whole pixels, and one at least."""
        mask = torch.ones(1, *size)
        rows, columns = (
            _span(start, end, side)
            for start, end, side in zip(
                (self.top, self.left), (self.bottom, self.right), size, strict=True
            )
        )
        mask[:, rows, columns] = 0
        return mask


def _span(start: float, end: float, side: int) -> slice:
    first = min(round(start * side), side - 1)
    return slice(first, max(first + 1, round(end * side)))


def drawn(
    generator: np.random.Generator,
    kind: HidingKind,
    share: float,
    size: tuple[int, int],
    frames: Sequence[Frame] = (),
) -> Tensor:
    """Draw what is seen of one image of `size`: gains [1, H, W] in the basis of the kind.

    `share` is how much it hides. A box lies anywhere inside the image, a half on any side; of an
    odd one, the lower and the right half have the middle row. An object lies in one of its
    `frames`; where there is none a box anywhere stands for it.
    """
    if kind in SCATTERED:
        return _scattered(generator, share, size)
    if kind == OBJECT and frames:
        return frames[int(generator.integers(len(frames)))].gain(size)
    if kind in ("mask-box", OBJECT):
        return draw_mask(generator, "boxes", share, size)
    if kind == "mask-half":
        return _half(size, SIDES[int(generator.integers(len(SIDES)))])
    if kind == "downsample":
        return _coarse(size, factor_of(share))
    return _blurred(size, width_of(share, size)).float()


def basis_of(kind: HidingKind, share: float, size: tuple[int, int]) -> Cosines:
    """The basis in which a kind keeps or hides each coefficient."""
    if kind == "downsample":
        return Cosines(factor_of(share), factor_of(share))
    return Cosines(*size) if kind == "blur" else Cosines()


def share_of(kind: HidingKind, strength: float, size: tuple[int, int]) -> float:
    """How much a strength hides of images of `size`.

    Raises ConfigError where that is nothing, or all, or cannot be done with images of that size.
    """
    if kind in BY_SHARE:
        return _expect_some(kind, strength, size)
    if kind == "downsample":
        _expect_whole(int(strength), size)
        return 1 - 1 / strength**2
    return _expect_told(strength, size)


def automatic_shares(
    kind: HidingKind, levels: int, size: tuple[int, int], least: float
) -> list[float]:
    """How much is hidden where no strength is given, ascending.

    From three quarters on, evenly by the logarithm of what is left, up to where no more than
    `least` is left: what tells the images of the pool apart, or a hundredth.
    """
    if kind == "mask-half":
        return [_expect_halves(size)]
    if kind == "downsample":
        return _coarse_shares(levels, size)
    end = max(least, LEAST_SEEN)
    if kind == "mask-box":
        end = max(end, 1 - math.prod((side - 2) / side for side in size))
    if kind in (*SCATTERED, "blur"):
        end = max(end, 4 / math.prod(size))
    left = np.geomspace(MOST_SEEN, min(end, MOST_SEEN), levels) if levels > 1 else [MOST_SEEN / 2]
    shares = [four(1 - float(one)) for one in left]
    if kind == "blur":
        return sorted(set(shares))
    return sorted({_expect_some(kind, share, size) for share in shares})


def least_seen(limit: float | None, sigma: float) -> float:
    """The least share of an image from which it can be told which of the members it is of.

    Two images of the pool differ by Delta; in a share s of them by sqrt(s) Delta. Behind noise
    `sigma` that tells N apart as the whole does behind sigma / sqrt(s), so that s is at least
    (sigma / (WINDOW sigma_id))^2.
    """
    return 1.0 if not limit else (sigma / (WINDOW * limit)) ** 2


def factor_of(share: float) -> int:
    """The factor by which sides become smaller where so much is hidden."""
    return round(1 / math.sqrt(1 - share))


def width_of(share: float, size: tuple[int, int]) -> float:
    """The standard deviation, in pixels, of the blur that hides so much."""

    def missing(width: float) -> float:
        return 1 - float(_blurred(size, width).square().mean()) - share

    return float(brentq(missing, 1e-3, 100 * max(size), xtol=1e-6))


def _scattered(generator: np.random.Generator, share: float, size: tuple[int, int]) -> Tensor:
    pixels = math.prod(size)
    order = torch.from_numpy(generator.permutation(pixels))
    return (order >= round(share * pixels)).float().view(1, *size)


def _half(size: tuple[int, int], side: str) -> Tensor:
    height, width = size
    mask = torch.ones(1, height, width)
    if side in ("top", "bottom"):
        mask[:, slice(0, height // 2) if side == "top" else slice(height // 2, height)] = 0
    else:
        mask[:, :, slice(0, width // 2) if side == "left" else slice(width // 2, width)] = 0
    return mask


def _coarse(size: tuple[int, int], factor: int) -> Tensor:
    """The mean of each block of pixels is seen, and nothing else."""
    gain = torch.zeros(1, *size)
    gain[:, ::factor, ::factor] = 1
    return gain


def _blurred(size: tuple[int, int], width: float) -> Tensor:
    """A Gaussian blur with reflected borders is a gain for each cosine of the image."""
    waves = [torch.arange(side, dtype=torch.float64) * math.pi / side for side in size]
    squares = waves[0][:, None] ** 2 + waves[1][None] ** 2
    return torch.exp(-squares * width**2 / 2)[None]


def _coarse_shares(levels: int, size: tuple[int, int]) -> list[float]:
    factors = [k for k in range(3, min(size) + 1) if not size[0] % k and not size[1] % k]
    if not factors:
        raise ConfigError(
            f"--corruption downsample: images of {size[0]} x {size[1]} px have no factor by which "
            "both sides can be divided; give another corruption"
        )
    return [1 - 1 / factor**2 for factor in factors[:levels]]


def _expect_halves(size: tuple[int, int]) -> float:
    """How much a half hides, on average over its four sides.

    One half of an odd side has a row more than the other, and either is hidden as often. Raises
    ConfigError for a side that cannot be divided.
    """
    if min(size) < 2:
        raise ConfigError(
            f"--corruption mask-half: an image of {size[0]} x {size[1]} px has no half to hide and "
            "none to show; give another corruption, or images with sides of 2 px or more"
        )
    return HALF


def _expect_whole(factor: int, size: tuple[int, int]) -> None:
    if any(side % factor for side in size):
        raise ConfigError(
            f"--corruption downsample:{factor}: sides of {size[0]} x {size[1]} px cannot be "
            f"divided by {factor}; give a factor of both"
        )


def _pixels_hidden(kind: HidingKind, share: float, size: tuple[int, int]) -> int:
    """How many pixels a mask of so much hides, whole pixels and whole boxes as they are.

    The share of a box is that from which a box of the same sides is drawn: the next such where the
    sides of its own would be rounded otherwise.
    """
    if kind in SCATTERED:
        return round(share * math.prod(size))
    sides = box_sides(share, size)
    while (again := box_sides(four(math.prod(sides) / math.prod(size)), size)) != sides:
        sides = again
    return math.prod(sides)


def _expect_some(kind: HidingKind, share: float, size: tuple[int, int]) -> float:
    """How much a mask hides in whole pixels; raises ConfigError where that is none, or all."""
    pixels, hidden = math.prod(size), _pixels_hidden(kind, share, size)
    if not 0 < hidden < pixels:
        what = "no pixel" if hidden == 0 else "all"
        raise ConfigError(
            f"--corruption {kind}:{share:g} hides {what} of an image of {size[0]} x {size[1]} px; "
            f"give {'more' if hidden == 0 else 'less'}"
        )
    return four(hidden / pixels)


def _expect_told(width: float, size: tuple[int, int]) -> float:
    """How much a blur hides; raises ConfigError where that does not tell how wide it is."""
    share = float(f"{1 - float(_blurred(size, width).square().mean()):.6g}")
    pixels = math.prod(size)
    if not 1 / pixels < share < 1 - 1.5 / pixels or abs(width_of(share, size) / width - 1) > 0.02:
        what = "all" if share > 0.5 else "nothing"
        raise ConfigError(
            f"--corruption blur:{width:g} hides {what} of an image of {size[0]} x {size[1]} px; "
            f"give a {'narrower' if share > 0.5 else 'wider'} blur"
        )
    return share


def four(share: float) -> float:
    """A share in four digits, as levels are told."""
    return float(f"{share:.4g}")

"""What an image is as a file and as pixels: numbers that a model under audit has no part in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from memaudit.data.decode import Decoded
from memaudit.records import Image

PROPERTIES = (  # in the order in which equally strong ones are named
    ("format", "file format"),
    ("jpeg_quality", "JPEG quality"),
    ("chroma_sampling", "JPEG chroma subsampling"),
    ("mode", "colour mode of the file"),
    ("width", "width, pixels"),
    ("height", "height, pixels"),
    ("bytes", "file size, bytes"),
    ("bytes_per_pixel", "file size, bytes a pixel"),
    ("quantized", "traces of JPEG quantization in the pixels"),
    ("blockiness", "jumps at the 8-pixel grid of JPEG"),
    ("fine_detail", "finest detail against middle detail (upscaling removes it)"),
    ("sharpness", "sharpness"),
    ("chroma_detail", "detail in colour against detail in brightness"),
    ("red", "mean red"),
    ("green", "mean green"),
    ("blue", "mean blue"),
    ("red_spread", "standard deviation of red"),
    ("green_spread", "standard deviation of green"),
    ("blue_spread", "standard deviation of blue"),
    ("saturation", "colour saturation"),
    ("clipped", "share of pure black and pure white"),
)
COLOURS = 64  # pixels a side, at most, spread over the image, that the colours are taken from
DETAIL = 128  # pixels a side, at most, from the middle, that detail is taken from; multiple of 8
BLOCK = 8  # of JPEG
LEAST = 2 * BLOCK  # pixels a side below which detail cannot be measured
NEAR_ZERO = 1.0  # DCT coefficients this small were zero before the pixels were rounded
FLOOR = 1e-2  # energy added before a logarithm, far below that of rounding to 8 bits
# JFIF: luma, blue and red difference of RGB.
YCC = np.array(
    [[0.299, -0.168736, 0.5], [0.587, -0.331264, -0.418688], [0.114, 0.5, -0.081312]], np.float32
)
DCT = fft.dct(np.eye(BLOCK, dtype=np.float32), axis=0, norm="ortho")

Plane = NDArray[np.float32]  # [H, W]


@dataclass(frozen=True)
class Properties:
    """Properties of one image; PROPERTIES says each in words.

    Means and spreads are in 0 .. 255, saturation and clipped in 0 .. 1. sharpness, fine_detail,
    chroma_detail and blockiness are natural logarithms, quantized is a difference of shares in
    -1 .. 1; these five are NaN for an image with a side below 16 pixels. jpeg_quality is 1 .. 100,
    NaN for other formats, whose chroma_sampling is "".
    """

    format: str
    jpeg_quality: float
    chroma_sampling: str
    mode: str
    width: int
    height: int
    bytes: int
    bytes_per_pixel: float
    quantized: float
    blockiness: float
    fine_detail: float
    sharpness: float
    chroma_detail: float
    red: float
    green: float
    blue: float
    red_spread: float
    green_spread: float
    blue_spread: float
    saturation: float
    clipped: float


def properties(decoded: Decoded, size: int) -> Properties:
    """Properties of a decoded image whose file has `size` bytes; under 1 ms at any resolution."""
    return Properties(
        format=decoded.format,
        jpeg_quality=decoded.jpeg_quality,
        chroma_sampling=decoded.chroma_sampling,
        mode=decoded.mode,
        width=decoded.width,
        height=decoded.height,
        bytes=size,
        bytes_per_pixel=size / (decoded.width * decoded.height),
        **_detail(decoded.image),
        **_colours(decoded.image),
    )


def _colours(image: Image) -> dict[str, float]:
    step = -(-max(image.shape[:2]) // COLOURS)
    channels = image[::step, ::step].reshape(-1, 3).T.astype(np.float32, order="C")
    high, low = channels.max(axis=0), channels.min(axis=0)
    means, spreads = channels.mean(axis=1).tolist(), channels.std(axis=1).tolist()
    names = ("red", "green", "blue")
    return {
        **dict(zip(names, means, strict=True)),
        **dict(zip([f"{name}_spread" for name in names], spreads, strict=True)),
        "saturation": float(np.mean((high - low) / np.maximum(high, 1))),
        "clipped": float(np.mean((high == 0) | (low == 255))),
    }


def _detail(image: Image) -> dict[str, float]:
    if min(image.shape[:2]) < LEAST:
        names = ("quantized", "blockiness", "fine_detail", "sharpness", "chroma_detail")
        return dict.fromkeys(names, float("nan"))
    planes = _middle(image).astype(np.float32) @ YCC
    luma, chroma = np.ascontiguousarray(planes[..., 0]), planes[..., 1:]
    return {
        "quantized": _near_zero(luma) - _near_zero(luma[BLOCK // 2 :, BLOCK // 2 :]),
        "blockiness": (_grid_jump(luma) + _grid_jump(luma.T)) / 2,
        "fine_detail": (_top_band(luma) + _top_band(luma.T)) / 2,
        "sharpness": _log_energy(_laplacian(luma)),
        "chroma_detail": _log_energy(np.diff(chroma, axis=1)) - _log_energy(np.diff(luma)),
    }


def _middle(image: Image) -> Image:
    """Cut out the middle, at a multiple of 8 pixels from the corner, where JPEG's grid stays."""
    top, left = [max(0, side - DETAIL) // 2 // BLOCK * BLOCK for side in image.shape[:2]]
    return image[top : top + DETAIL, left : left + DETAIL]


def _near_zero(luma: Plane) -> float:
    """Share of near-zero coefficients of 8 x 8 blocks; JPEG makes it high on its own grid alone."""
    height, width = (side // BLOCK * BLOCK for side in luma.shape)
    columns = DCT @ luma[:height, :width].reshape(-1, BLOCK, width)
    return float(np.mean(np.abs(columns.reshape(-1, BLOCK) @ DCT.T) < NEAR_ZERO))


def _grid_jump(luma: Plane) -> float:
    """Log of the mean step across the borders of 8-pixel blocks over that elsewhere."""
    steps = np.abs(np.diff(luma)).mean(axis=0)
    border = np.arange(1, len(steps) + 1) % BLOCK == 0
    return float(np.log((steps[border].mean() + FLOOR) / (steps[~border].mean() + FLOOR)))


def _top_band(luma: Plane) -> float:
    """Log energy of the highest quarter of horizontal frequencies over that of the second."""
    # Steps instead of pixels, faded at both ends: what does not fit the period leaks less.
    steps = np.diff(luma) * np.hanning(luma.shape[1] + 1)[1:-1].astype(np.float32)
    power = (np.abs(fft.rfft(steps)) ** 2).mean(axis=0)
    first, middle, last = (len(power) * quarter // 4 for quarter in (1, 2, 3))
    return float(np.log((power[last:].mean() + FLOOR) / (power[first:middle].mean() + FLOOR)))


def _laplacian(luma: Plane) -> Plane:
    centre = luma[1:-1, 1:-1]
    around: Plane = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:]
    return around - 4 * centre


def _log_energy(values: Plane) -> float:
    return float(np.log(np.mean(values**2) + FLOOR))

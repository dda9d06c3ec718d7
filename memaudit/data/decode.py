"""From encoded bytes to RGB pixels."""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL import ImageOps

from memaudit.data.jpeg import chroma_sampling, jpeg_quality
from memaudit.errors import UnreadableImageError
from memaudit.records import Image

MAX_PIXELS = 178_956_970 // 2
# Only these: other plugins of Pillow start programs (EPS runs Ghostscript) or parse documents.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF", "JPEG2000")


@dataclass(frozen=True)
class Decoded:
    """An image as it is shown: `image` is HWC uint8 RGB; `format` and `mode` are the file's.

    `width` and `height` are those of `image`, after its orientation was applied. `jpeg_quality` is
    libjpeg's, 1 .. 100, NaN for other formats; their `chroma_sampling` is "".
    """

    image: Image
    format: str
    mode: str
    width: int
    height: int
    jpeg_quality: float
    chroma_sampling: str


def decode(data: bytes) -> Decoded:
    """Decode the first frame of an image.

    EXIF orientation is applied, transparency is composited on white, 16-bit grey keeps its high
    byte, float grey must lie in [0, 1] or [0, 255]; colour profiles are ignored. Raises
    UnreadableImageError for anything else, and above MAX_PIXELS before it is decoded.
    """
    if not data:
        raise UnreadableImageError("0 bytes: expected an encoded image")
    # Warnings are about oddities (corrupt EXIF, size) that are handled below.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _decode(data)
        except UnreadableImageError:
            raise
        except PIL.UnidentifiedImageError as error:
            raise UnreadableImageError(
                f"{len(data)} bytes that begin with {data[:8]!r}: expected one of "
                f"{', '.join(FORMATS)}"
            ) from error
        except PIL.Image.DecompressionBombError as error:
            raise UnreadableImageError(f"{error}; the limit is {MAX_PIXELS} pixels") from error
        except Exception as error:  # the plugins of Pillow raise nearly every kind
            found = f"{type(error).__name__}: {error}"
            raise UnreadableImageError(f"the image is damaged ({found})") from error


def image_id(image: Image) -> str:
    """Hash mode, size and pixels: equal for the same pixels in different formats."""
    height, width, _ = image.shape
    digest = hashlib.sha256(b"RGB")
    digest.update(width.to_bytes(8, "little") + height.to_bytes(8, "little"))
    digest.update(np.ascontiguousarray(image))
    return digest.hexdigest()


def _decode(data: bytes) -> Decoded:
    with PIL.Image.open(io.BytesIO(data), formats=FORMATS) as picture:
        width, height = picture.size
        if width * height > MAX_PIXELS:
            raise UnreadableImageError(
                f"{width} x {height} pixels are more than the limit of {MAX_PIXELS}"
            )
        file_format, mode = picture.format or "", picture.mode
        quality, sampling = jpeg_quality(picture), chroma_sampling(picture)
        picture.load()
        image = np.array(_rgb(_upright(picture)))
    height, width = image.shape[:2]
    return Decoded(image, file_format, mode, width, height, quality, sampling)


def _upright(picture: PIL.Image.Image) -> PIL.Image.Image:
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # EXIF that cannot be parsed says nothing of the orientation
        return picture


def _rgb(picture: PIL.Image.Image) -> PIL.Image.Image:
    if picture.mode == "I" or picture.mode.startswith("I;16"):
        picture = PIL.Image.fromarray(_from_16_bit(np.asarray(picture)))
    elif picture.mode == "F":
        picture = PIL.Image.fromarray(_from_float(np.asarray(picture)))
    elif picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = PIL.Image.new("RGBA", picture.size, "white")
        picture = PIL.Image.alpha_composite(white, picture)
    return picture.convert("RGB")


def _from_16_bit(grey: NDArray[np.integer]) -> NDArray[np.uint8]:
    low, high = int(grey.min()), int(grey.max())
    if low < 0 or high > 65535:
        raise UnreadableImageError(f"integers in [{low}, {high}]: expected 16-bit [0, 65535]")
    return (grey >> 8).astype(np.uint8)


def _from_float(grey: NDArray[np.floating]) -> NDArray[np.uint8]:
    low, high = float(grey.min()), float(grey.max())
    if not (low >= 0 and high <= 255):  # NaN fails both
        raise UnreadableImageError(f"floats in [{low:g}, {high:g}]: expected [0, 1] or [0, 255]")
    return np.rint(grey * 255 if high <= 1 else grey).astype(np.uint8)

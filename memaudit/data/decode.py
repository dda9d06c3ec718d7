"""From encoded bytes to RGB pixels."""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL import ImageOps

from memaudit.data.heard import heard
from memaudit.data.jpeg import chroma_sampling, jpeg_quality
from memaudit.errors import UnreadableImageError
from memaudit.foreign import refusing
from memaudit.records import Image

Alpha = Literal["white", "black", "drop"]
TRANSPARENT = "transparent"

MAX_PIXELS = 178_956_970 // 2
MAX_SIDE = 1 << 16
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # how such files begin
# Only these: other plugins of Pillow start programs (EPS runs Ghostscript) or parse documents.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF", "JPEG2000")
DEPTHS = (8, 10, 12, 14, 16)  # bits of grey in files of 16
OTHERS = (  # how files begin that are often met in place of an image, and what they are
    (b"....ftyp(heic|heix|hevc|mif1|msf1|heim|heis)", "an HEIC image"),
    (b"\xff\x0a|\0\0\0\x0cJXL ", "a JPEG XL image"),
    (b"\\s*<(!DOCTYPE|html|\\?xml|svg|Error)", "HTML, XML or SVG"),
    (b"8BPS", "a Photoshop file"),
    (b"%!PS|%PDF", "a document"),
    (b"PK\3\4", "a zip archive"),
    (b"\\x76\\x2f\\x31\\x01", "an OpenEXR image"),
    (b"version https://git-lfs", "the pointer of a file that Git LFS keeps"),
)


@dataclass(frozen=True)
class Decoded:
    """An image as it is shown: `image` is HWC uint8 RGB; `format` and `mode` are the file's.

    `width` and `height` are those of `image`, after its orientation was applied. `jpeg_quality` is
    libjpeg's, 1 .. 100, NaN for other formats; their `chroma_sampling` is "". `changed` says what
    had no place in RGB of 8 bits and became of it, "" if nothing had.
    """

    image: Image
    format: str
    mode: str
    width: int
    height: int
    jpeg_quality: float
    chroma_sampling: str
    changed: str = ""


def decode(data: bytes, alpha: Alpha = "white", name: str = "") -> Decoded:
    """Decode the first frame of an image.

    EXIF orientation is applied; transparency is composited on white or black, or dropped with the
    colours under it kept; 16-bit grey keeps the high byte of the bits in use, float grey must lie
    in [0, 1] or [0, 255]; colour profiles are ignored. `name` is what remarks call it. Raises
    UnreadableImageError for anything else, and above MAX_PIXELS or MAX_SIDE before it is decoded.
    """
    if not data:
        raise UnreadableImageError("0 bytes: expected an encoded image")
    # Warnings are about oddities (corrupt EXIF, size) that are handled below.
    with warnings.catch_warnings(), refusing(UnreadableImageError, "the image is damaged"):
        warnings.simplefilter("ignore")
        try:
            with heard("libtiff", name) if data[:4] in TIFF else nullcontext():
                return _decode(data, alpha)
        except PIL.UnidentifiedImageError as error:
            raise UnreadableImageError(
                f"{len(data)} bytes of {_kind(data)}: expected one of {', '.join(FORMATS)}"
            ) from error
        except PIL.Image.DecompressionBombError as error:
            raise UnreadableImageError(f"{error}; the limit is {MAX_PIXELS} pixels") from error


def image_id(image: Image) -> str:
    """Hash mode, size and pixels: equal for the same pixels in different formats."""
    height, width, _ = image.shape
    digest = hashlib.sha256(b"RGB")
    digest.update(width.to_bytes(8, "little") + height.to_bytes(8, "little"))
    digest.update(np.ascontiguousarray(image))
    return digest.hexdigest()


def _decode(data: bytes, alpha: Alpha) -> Decoded:
    with PIL.Image.open(io.BytesIO(data), formats=FORMATS) as picture:
        width, height = picture.size
        if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
            raise UnreadableImageError(
                f"{width} x {height} pixels are more than the limit of {MAX_PIXELS}, or {MAX_SIDE} "
                "a side"
            )
        file_format, mode = picture.format or "", picture.mode
        quality, sampling = jpeg_quality(picture), chroma_sampling(picture)
        picture.load()
        shown, changed = _rgb(_upright(picture), alpha)
        image = np.array(shown)
    height, width = image.shape[:2]
    return Decoded(image, file_format, mode, width, height, quality, sampling, changed)


def _upright(picture: PIL.Image.Image) -> PIL.Image.Image:
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # EXIF that cannot be parsed says nothing of the orientation
        return picture


def _rgb(picture: PIL.Image.Image, alpha: Alpha) -> tuple[PIL.Image.Image, str]:
    """Make RGB of any mode; say what was changed by that, "" if nothing was."""
    changed = ""
    if picture.mode == "I" or picture.mode.startswith("I;16"):
        grey, changed = _from_16_bit(np.asarray(picture))
        picture = PIL.Image.fromarray(grey)
    elif picture.mode == "F":
        picture = PIL.Image.fromarray(_from_float(np.asarray(picture)))
    elif picture.has_transparency_data:
        picture = picture.convert("RGBA")
        lowest, _ = picture.getchannel("A").getextrema()
        if lowest < 255:  # type: ignore[operator]  # of one channel it is a number
            changed = TRANSPARENT
            if alpha != "drop":
                ground = PIL.Image.new("RGBA", picture.size, alpha)
                ground.alpha_composite(picture)
                picture = ground
    return picture.convert("RGB"), changed


def _from_16_bit(grey: NDArray[np.integer]) -> tuple[NDArray[np.uint8], str]:
    """Keep the high byte of the bits that are in use: cameras and scanners fill 10, 12 or 14."""
    low, high = int(grey.min()), int(grey.max())
    if low < 0 or high > 65535:
        raise UnreadableImageError(f"integers in [{low}, {high}]: expected 16-bit [0, 65535]")
    depth = next(bits for bits in DEPTHS if high >> bits == 0)
    return (grey >> (depth - 8)).astype(np.uint8), f"grey of {depth} bits reduced to 8"


def _from_float(grey: NDArray[np.floating]) -> NDArray[np.uint8]:
    low, high = float(grey.min()), float(grey.max())
    if not (low >= 0 and high <= 255):  # NaN fails both
        raise UnreadableImageError(f"floats in [{low:g}, {high:g}]: expected [0, 1] or [0, 255]")
    scaled = grey * 255 if high <= 1 else grey.copy()
    return np.rint(scaled, out=scaled).astype(np.uint8)


def _kind(data: bytes) -> str:
    """Name what is often met in place of an image, by how it begins."""
    for start, kind in OTHERS:
        if re.match(start, data, re.DOTALL | re.IGNORECASE):
            return kind
    return "no kind that is known"

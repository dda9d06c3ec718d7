"""Small pictures that tests of data sets tell apart."""

import io

import PIL.Image
from skimage import data as photos

ROCKET = photos.rocket()


def png(i):
    """Give a small crop that differs from one to the next; its first pixel is (i, i, i)."""
    crop = ROCKET[i : i + 8, 300:308].copy()
    crop[0, 0] = i
    buffer = io.BytesIO()
    PIL.Image.fromarray(crop).save(buffer, "PNG")
    return buffer.getvalue()

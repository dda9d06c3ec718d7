"""Which images of a sample in an archive are fields of it, as masks are, and none of their own."""

from __future__ import annotations

import re
from collections.abc import Iterable

# What masks and maps are called, with numbers behind it; of other words only those without a digit
# are fields, since v2 and page12 are parts of names.
MASKS = re.compile(
    r"(mask|seg|segmentation|depth|matte|alpha|normal|edge|canny|label|trimap)s?[-_]?\d*"
)
LONGEST = 16  # words of an extension that is looked at

Words = tuple[str, ...]


class Fields:
    """The images of one sample, by their extensions in lower case ("png", "v1.seg.png")."""

    def __init__(self, images: Iterable[str]) -> None:
        self._by_words: dict[Words, str] = {}
        self._beside: dict[Words, str] = {}
        for image in images:
            words = _words(image)
            if len(words) <= LONGEST:
                self._by_words.setdefault(words, image)
                if words and not MASKS.fullmatch(words[-1]):
                    self._beside.setdefault(words[:-1], image)

    def image_of(self, extension: str) -> str:
        """The image that one is a field of; "" where it is an image of its own.

        seg.png is one of png, v1.seg.png of v1.jpg, and mask.png also of image.png.
        """
        words = _words(extension)
        if not words or len(words) > LONGEST:
            return ""
        for length in reversed(range(len(words))):
            if any(map(str.isdigit, "".join(words[length:]))):
                break
            if found := self._by_words.get(words[:length]):
                return found
        if MASKS.fullmatch(words[-1]):
            return self._by_words.get(words[:-1]) or self._beside.get(words[:-1], "")
        return ""


def _words(extension: str) -> Words:
    """What stands before the last dot, parted at its dots."""
    return tuple(extension.split(".")[:-1])

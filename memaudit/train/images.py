"""The images of a training run: decoded once where they fit in memory, else at every use."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from memaudit.config import TrainConfig
from memaudit.data import Decoded, Entry, Source, decode, image_id, open_source, resize, sample
from memaudit.errors import DataError, UnreadableImageError

CACHE_BYTES = 2 << 30
WHERE = (
    "memaudit looks for them in metadata, in texts beside the images and in columns (docs/data.md "
    "says where); --caption-column names another column"
)


class TrainingImages:
    """Random access to the readable images of a data set, [3, R, R] uint8."""

    def __init__(self, config: TrainConfig) -> None:
        options = config.data
        self._resolution = (config.side, config.side)
        self._policy, self._alpha = options.resize, options.alpha
        self._source: Source = open_source(
            config.dataset,
            image_column=options.image_column,
            caption_column=options.caption_column,
            split=options.split,
        )
        entries = sample(self._source.entries(), options.sample, config.seed)
        self.unreadable: list[tuple[str, str]] = []  # images, and captions of those that are read
        self.changed: dict[str, int] = {}  # how many images, by what has no place in 8-bit RGB
        self._cache: dict[str, Tensor] = {}
        self.ids: list[str] = []  # of the images as scans name them
        room = CACHE_BYTES // (3 * config.side**2)
        self._entries = [
            entry for k, entry in enumerate(entries) if self._readable(entry, k < room)
        ]
        self.prompts = [entry.prompt for entry in self._entries]  # captions, or blank
        if not self._entries:
            raise DataError(
                f"none of the {len(entries)} images of {config.dataset} can be read; the first: "
                f"{self.unreadable[0][1] if self.unreadable else 'no images'}"
            )

    def __len__(self) -> int:
        return len(self._entries)

    def expect_captions(self, column: str | None) -> str:
        """What is to be said of the images that have none, before a network is told captions.

        Raises DataError where none has one, although a column of captions was asked for.
        """
        images, without = len(self), self.prompts.count("")
        if column is not None and without == images:
            raise DataError(
                f"--caption-column {column} was asked for, and none of the {images} images has a "
                "caption there. Name another column, or leave the option out to train without"
            )
        if without == images:
            return f"none of the {images} images has a caption: all train on an empty one. {WHERE}"
        some = f"{without} of the {images} images have no caption and train on an empty one. "
        return f"{some}{WHERE}" if without else ""

    def __getitem__(self, k: int) -> Tensor:
        entry = self._entries[k]
        cached = self._cache.get(entry.source)
        return self._load(self._decode(entry))[0] if cached is None else cached

    def _readable(self, entry: Entry, cache: bool) -> bool:
        try:
            decoded = self._decode(entry)
        except UnreadableImageError as error:
            self.unreadable.append((entry.source, str(error)))
            return False
        image, name = self._load(decoded)
        if entry.lost:
            self.unreadable.append((entry.source, entry.lost))
        if decoded.changed:
            self.changed[decoded.changed] = self.changed.get(decoded.changed, 0) + 1
        self.ids.append(name)
        if cache:
            self._cache[entry.source] = image
        return True

    def _decode(self, entry: Entry) -> Decoded:
        return decode(self._source.read(entry), self._alpha, entry.source)

    def _load(self, decoded: Decoded) -> tuple[Tensor, str]:
        image = decoded.image
        pixels = resize(image, self._resolution, self._policy)
        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))), image_id(image)

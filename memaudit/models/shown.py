"""What a training set shows a model: which images, how often, and with which captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Shown:
    """How often each of `count` images stands in a training set, and beside which captions.

    `images` [R] int64 says which of them each row of the training set shows, each at least once;
    `captions` [R] what the model is told with it, "" for nothing. Without `captions` it is told
    nothing at all.
    """

    count: int
    images: Tensor
    captions: tuple[str, ...] = ()

    def times(self, prompts: Sequence[str]) -> Tensor:
        """How often each image was shown with each prompt, float64 [B, count].

        With any caption where a prompt is empty or was never shown; [1, count] without prompts.
        """
        if not self.captions or not prompts:
            return self._always[None]
        return torch.stack([self._with(prompt) for prompt in prompts])

    @cached_property
    def _always(self) -> Tensor:
        return self._counted(self.images)

    @cached_property
    def _by_caption(self) -> dict[str, Tensor]:
        """The images of the rows of each caption."""
        rows: dict[str, list[int]] = {}
        for row, caption in enumerate(self.captions):
            if caption:
                rows.setdefault(caption, []).append(row)
        return {caption: self.images[numbers] for caption, numbers in rows.items()}

    def _with(self, prompt: str) -> Tensor:
        images = self._by_caption.get(prompt)
        return self._always if images is None else self._counted(images)

    def _counted(self, images: Tensor) -> Tensor:
        return torch.bincount(images, minlength=self.count).double()

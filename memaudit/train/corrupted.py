"""What training images are seen through: noise and masks, one draw an image, kept as evidence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from memaudit.config import Mask, TrainConfig
from memaudit.corruption.mask import draw_mask
from memaudit.corruption.noise import frozen_noise, generator
from memaudit.files import in_place
from memaudit.models.ambient import MEMAUDIT, NOISY, Ambient

MASKS = "masks"
PART = 256  # images a file

Clean = Callable[[list[int]], Tensor]  # positions of images -> x0
Content = Callable[[list[int], list[str]], Tensor]  # positions and ids of images -> one row each


def frozen_masks(config: TrainConfig, ids: list[str]) -> Tensor:
    """Masks [B, 1, R, R] of some images, 1 where they are seen, a function of (seed, image); or 1.

    They must never be drawn again: many masks of an image together show all of it.
    """
    if config.mask is None:
        return torch.ones(())
    return _masks(config, config.mask, config.mask.share, [(f"mask {name}", 0) for name in ids])


def masks_on_top(config: TrainConfig, step: int, rows: slice) -> Tensor:
    """What a step hides on top, [b, 1, R, R], a function of (seed, step, row); or 1."""
    which = range(config.batch_size)[rows]
    if config.mask is None or config.loss != "ambient-mask":
        return torch.ones(())
    share = config.mask.hidden_on_top
    return _masks(config, config.mask, share, [(f"on top of row {row}", step) for row in which])


def write_evidence(config: TrainConfig, ids: list[str], clean: Clean) -> None:
    """Write what the images were seen through, and beside what noise they were seen.

    noisy/part-*.safetensors: id of the image -> x_n, in the model's space: [3, R, R] for images in
    [-1, 1], 0 where they are masked, or latents; masks/part-*.safetensors: id -> [1, R, R] uint8, 1
    where the image was seen. `clean` gives the images in the model's space by position.
    """

    def noisy(rows: list[int], names: list[str]) -> Tensor:
        x0, sigma_n = clean(rows).cpu(), config.sigma_n or 0.0
        x_n = x0 + sigma_n * frozen_noise(names, tuple(x0.shape[1:]), sigma_n, config.seed)
        return frozen_masks(config, names) * x_n

    def masks(_: list[int], names: list[str]) -> Tensor:
        return frozen_masks(config, names).to(torch.uint8)

    if config.sigma_n is not None:
        _write_parts(Path(config.out) / NOISY, ids, noisy)
    if config.mask is not None:
        _write_parts(Path(config.out) / MASKS, ids, masks)


def record(config: TrainConfig) -> Ambient:
    """What a model says of the data it was trained on, and from which noise it can be sampled."""
    return Ambient(
        loss=config.loss,
        sigma_n=config.sigma_n or 0.0,
        seed=config.seed,
        consistency=config.consistency.weight > 0,
        mask=config.mask,
        drawn_by=MEMAUDIT,
    )


def lowest(config: TrainConfig) -> float | None:
    """Noise at which the model's sampling stops; None for the lowest of its schedule."""
    return None if config.loss == "clean" else record(config).lowest


def _masks(config: TrainConfig, mask: Mask, share: float, keys: list[tuple[str, int]]) -> Tensor:
    size = (config.side, config.side)
    generators = (generator(config.seed, name, 0.0, draw) for name, draw in keys)
    return torch.stack([draw_mask(one, mask.kind, share, size) for one in generators])


def _write_parts(folder: Path, ids: list[str], content: Content) -> None:
    """Write part-*.safetensors, id -> its row, but for those that are there."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, start in enumerate(range(0, len(ids), PART)):
        path = folder / f"part-{number:05d}.safetensors"
        if path.is_file():
            continue
        names = ids[start : start + PART]
        rows = content(list(range(start, start + len(names))), names)
        with in_place(path) as temporary:
            save_file({name: row.clone() for name, row in zip(names, rows, strict=True)}, temporary)

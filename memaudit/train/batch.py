"""What a loss sees: the estimate h, a batch, and the random numbers of a step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from memaudit.corruption.noise import per_row

SIGMA_DATA = 0.5  # standard deviation of images in [-1, 1], Karras et al. 2022


@dataclass(frozen=True, eq=False)
class Draws:
    """Random numbers of one step, drawn for the whole batch, of which a process keeps its rows.

    So they do not depend on how the batch is divided. Drawn on the CPU.
    """

    generator: torch.Generator
    shape: tuple[int, ...]  # of the whole batch, [B, C, H, W]
    rows: slice = slice(None)

    def normal(self) -> Tensor:
        """Standard normal noise for the rows of this process, [b, C, H, W]."""
        return torch.randn(self.shape, generator=self.generator)[self.rows]

    def uniform(self) -> Tensor:
        """One number in [0, 1) for each row of this process, [b]."""
        return torch.rand(self.shape[0], generator=self.generator)[self.rows]


def _everything() -> Tensor:
    return torch.ones(())


@dataclass(frozen=True, eq=False)
class Batch:
    """What a training step sees.

    `x0` are clean images and `frozen` the noise z drawn once for each image, [B, C, H, W]; `sigma`
    [B] are the levels, at or above `sigma_n` where a loss needs that, and `noise` is drawn afresh.
    `mask` [B, 1, H, W] is 1 where an image is seen at all, `further` where it is seen in this step;
    `done` is the share of the training that lies behind, `prompts` are the captions.
    """

    x0: Tensor
    frozen: Tensor
    sigma: Tensor
    noise: Tensor
    sigma_n: float = 0.0
    mask: Tensor = field(default_factory=_everything)
    further: Tensor = field(default_factory=_everything)
    draws: Draws | None = None
    done: float = 1.0
    prompts: tuple[str, ...] = ()

    @property
    def x_n(self) -> Tensor:
        """The noisy copies, x0 + sigma_n z."""
        return self.x0 + self.sigma_n * self.frozen

    def normal(self) -> Tensor:
        """More noise like x0; without `draws` from torch's own generator."""
        return torch.randn_like(self.x0) if self.draws is None else self.draws.normal().to(self.x0)

    def uniform(self) -> Tensor:
        """One more number in [0, 1) for each row, [B]."""
        if self.draws is None:
            return torch.rand_like(self.sigma)
        return self.draws.uniform().to(self.sigma)


Estimate = Callable[[Tensor, Tensor], Tensor]  # x [B, C, H, W], sigma [B] -> x0
Loss = Callable[[Estimate, Batch], Tensor]


def weighted(error: Tensor, added: Tensor, spread: Tensor | float = SIGMA_DATA**2) -> Tensor:
    """Mean of squared errors [B, C, H, W], each level weighted so that the best h comes to about 1.

    `added` [B] is the variance of the noise and `spread` that of what it was added to (Karras et
    al. 2022).
    """
    return (per_row((added + spread) / (added * spread), error) * error).mean()

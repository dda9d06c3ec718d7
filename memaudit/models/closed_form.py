"""The perfect memorizers: exact posterior means over a finite set of images or noisy copies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from memaudit.config import CLOSED_FORM
from memaudit.corruption.linear import Seen
from memaudit.corruption.noise import per_row
from memaudit.errors import ConfigError
from memaudit.models.ambient import MARGIN, Ambient
from memaudit.models.codec import Codec, Coded, PixelCodec
from memaudit.models.denoiser import Conditioning, Denoiser
from memaudit.models.shown import Shown

BLOCK = 4096  # images converted to float64 at a time


@dataclass(frozen=True, eq=False)
class ClosedForm(Coded):
    """D(x, sigma) = sum_i w_i x_i with w_i proportional to c_i exp(-|x - x_i|^2 / (2 sigma^2)).

    The minimiser of the denoising loss over a finite set (Karras et al. 2022, eq. 57, arXiv
    2206.00364): what any model that memorized exactly these images would answer. `images` is
    [N, C, H, W] float32, in [-1, 1], or in the `space` of a codec; sums run in float64. c_i is how
    often the training set `shown` has image i, with the caption that is told if it has captions;
    once each without it. Through a `mask` M [1, 1, H, W], 1 where x is seen, the distance is
    |M (x - x_i)|. Told what is `seen` of each image, y = A x0 + sigma_y n, it weighs by
    exp(-|y - A x_i|^2 / (2 sigma_y^2)), too.
    """

    images: Tensor
    sigma_min: float = 1e-3
    sigma_max: float = 1e4
    estimate: Literal["mean", "sample"] = "mean"
    space: Codec | None = None
    mask: Tensor | None = None
    shown: Shown | None = None
    seen: Seen | None = None

    def given(self, seen: Seen) -> ClosedForm | None:
        """The exact posterior of what was memorized, given what is seen."""
        return replace(self, seen=seen)

    @property
    def conditioning(self) -> Conditioning:
        """Captions, if the training set has them."""
        return "caption" if self.shown is not None and self.shown.captions else "none"

    @property
    def codec(self) -> Codec:
        """That of the space in which the images are."""
        return self.space or PixelCodec((*self.images.shape[1:],), self.device)

    @property
    def device(self) -> torch.device:
        """Where the images are."""
        return self.images.device

    def denoise(self, x: Tensor, sigma: Tensor, prompts: Sequence[str] = ()) -> Tensor:
        """The exact posterior mean under the empirical distribution of the images.

        Of those shown with a row's prompt; of all where that is empty or was never shown.
        """
        mean = self._mean(x.flatten(1).double(), sigma.double() ** 2, prompts)
        return mean.float().view_as(x)

    def sigma_of_timestep(self, timestep: int) -> float:
        """The perfect memorizer has no schedule."""
        raise ConfigError(
            f"--timestep {timestep} needs a model with a schedule, and {CLOSED_FORM} has none; "
            "give --sigma or --snr-db"
        )

    def misreadings(self) -> Iterator[tuple[str, Denoiser]]:
        """Nothing is read, so nothing can be misread."""
        return iter(())

    def _mean(self, flat: Tensor, variance: Tensor, prompts: Sequence[str]) -> Tensor:
        """Mean of the images, weighted by their probability given x [B, D] at a variance [B]."""
        seen = self._seen()
        x = flat * seen
        squares = torch.cat([self._distances(x, block * seen) for block in self._blocks()], dim=1)
        logits = -squares / (2 * per_row(variance, flat))
        if self.shown is not None:
            logits = logits + self.shown.times(prompts).to(logits.device).log()
        if self.seen is not None:
            logits = logits + self._fit
        weights = torch.softmax(logits, dim=1)
        mean = torch.zeros_like(flat)
        for k, block in enumerate(self._blocks()):
            mean += weights[:, k * BLOCK : k * BLOCK + len(block)] @ block.double()
        return mean

    @cached_property
    def _fit(self) -> Tensor:
        """[B, N]: log-likelihood of what is seen of each image, were it of each memorized one."""
        assert self.seen is not None
        images, seen = self.images, self.seen
        rows = []
        for k in range(len(seen.y)):
            view, y = seen.view.row(k), seen.y[k : k + 1].double()
            each = [(y - view.of(some)).flatten(1).double() for some in torch.split(images, BLOCK)]
            rows.append(torch.cat([one.square().sum(1) for one in each]))
        return -torch.stack(rows) / (2 * seen.sigma**2)

    def _seen(self) -> Tensor:
        """[D] 1 where x is seen; or 1."""
        if self.mask is None:
            return torch.ones((), device=self.device)
        return self.mask.to(self.images).expand(1, *self.shape).flatten()

    def _blocks(self) -> tuple[Tensor, ...]:
        flat = self.images.flatten(1)
        return tuple(flat[k : k + BLOCK] for k in range(0, len(flat), BLOCK))

    @staticmethod
    def _distances(flat: Tensor, block: Tensor) -> Tensor:
        images = block.double()
        squares = (flat**2).sum(1, keepdim=True) + (images**2).sum(1)
        return squares - 2 * flat @ images.T


@dataclass(frozen=True, eq=False)
class AmbientClosedForm(ClosedForm):
    """The perfect memorizer of noisy copies y_i: h = (sigma^2 sum_i w_i y_i - sigma_n^2 x) / v.

    v = sigma^2 - sigma_n^2 and w_i is proportional to c_i exp(-|x - y_i|^2 / (2 v)): what minimises
    the ambient loss (Daras et al. 2024, arXiv 2404.10177) over a finite set, from `MARGIN` above
    sigma_n on, where v is no longer 0. `images` are the copies, and `shown` says how often each
    stands in the training set; a model that learned from the clean images below sigma_n
    ("ambient-mixed") answers with `below` there.
    """

    training: Ambient = field(kw_only=True)
    below: ClosedForm | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if self.below is None:
            object.__setattr__(self, "sigma_min", max(self.sigma_min, self.lowest))

    def given(self, seen: Seen) -> None:  # noqa: ARG002
        """None: what it memorized is not what is seen."""
        return

    @property
    def lowest(self) -> float:
        """Noise from which the copies answer."""
        return MARGIN * self.training.sigma_n

    def denoise(self, x: Tensor, sigma: Tensor, prompts: Sequence[str] = ()) -> Tensor:
        """What the trained network tends to: the estimate of x0 by double Tweedie."""
        flat, levels = x.flatten(1).double(), sigma.double().clamp(min=self.lowest)
        added = levels**2 - self.training.sigma_n**2
        mean = self._mean(flat, added, prompts)
        scale = per_row(levels**2, flat)
        noisy = (scale * mean - self.training.sigma_n**2 * flat) / per_row(added, flat)
        answer = noisy.float().view_as(x)
        if self.below is None:
            return answer
        clean = self.below.denoise(x, sigma, prompts)
        return torch.where(per_row(sigma < self.lowest, x), clean, answer)

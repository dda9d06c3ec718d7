"""What a network says of an image under noise, clean image and noisy copy alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from memaudit.attacks.base import Bench, Query, Shard
from memaudit.corruption.noise import generator, per_row
from memaudit.models.denoiser import Denoiser
from memaudit.records import COPY

FLOOR = 1 / 255  # half a grey level of images in [-1, 1]: a smaller error is none


@dataclass(frozen=True, eq=False)
class Sources:
    """B images, or noisy copies of images, and the network that is asked about them.

    `x` [B, *shape] is what is corrupted, in the model's space. It holds noise `held` [B], 0 of a
    clean image and sigma_n of a noisy copy; `added` [B] is the noise that is put on top at the
    level of a query. A caption each.
    """

    model: Denoiser
    x: Tensor
    held: Tensor
    added: Tensor
    captions: list[str]

    @classmethod
    def of(
        cls, bench: Bench, shard: Shard, batch: list[Query], model: Denoiser | None = None
    ) -> Sources:
        """The sources of a batch of queries; the model is the one under audit or another."""
        which = [query.example for query in batch]
        x0, model = shard.x0[which], model or bench.denoiser
        sigma = torch.tensor([query.level for query in batch], device=x0.device)
        captions = captions_of(bench, shard, batch)
        if bench.copies is None or shard.copies is None:
            return cls(model, x0, torch.zeros_like(sigma), sigma, captions)
        noisy = torch.tensor([query.input == COPY for query in batch], device=x0.device)
        held = noisy * bench.copies.training.sigma_n
        x = torch.where(per_row(noisy, x0), shard.copies[which], x0)
        return cls(model, x, held, torch.where(noisy, (sigma**2 - held**2).sqrt(), sigma), captions)

    @property
    def lowest(self) -> Tensor:
        """[B] the least noise to add at which the network can be asked."""
        return (self.model.sigma_min**2 - self.held**2).clamp(min=1e-12).sqrt()

    @property
    def floor(self) -> Tensor:
        """[B] the largest error of the image that counts as none."""
        return torch.full_like(self.added, FLOOR)

    @property
    def visible(self) -> Tensor:
        """[B] the same of estimated noise, where an error of the image counts 1 / sigma times."""
        return FLOOR / self.added

    def mean(self, noisy: Tensor, added: Tensor) -> Tensor:
        """E[source | source + added n], [B, *shape], of what holds noise `added` [B] more than x.

        It is the network's own: a clip to the range of pixels would take off an error of white and
        black pixels that says what the network knows.
        Of a clean image that is the network's answer h. Of a noisy copy y = x0 + sigma_n z it is
        (added^2 h + sigma_n^2 noisy) / (added^2 + sigma_n^2): Tweedie's formula for y, where the
        network answers for x0 (Daras et al. 2024, arXiv 2404.10177).
        """
        total = added**2 + self.held**2
        h = self.model.unclipped.denoise(noisy, total.sqrt(), self.captions)
        weight = per_row(added**2 / total, noisy)
        return weight * h + (1 - weight) * noisy

    def noise(self, noisy: Tensor, added: Tensor) -> Tensor:
        """The noise in it by the network's estimate, (noisy - mean) / added, [B, *shape]."""
        return (noisy - self.mean(noisy, added)) / per_row(added, noisy)


def captions_of(bench: Bench, shard: Shard, batch: list[Query]) -> list[str]:
    """What the model is told of the image of each query."""
    return [bench.captions.get(shard.ids[query.example], "") for query in batch]


def generators(
    bench: Bench, shard: Shard, batch: list[Query], kind: str = ""
) -> list[np.random.Generator]:
    """Where everything random about each query comes from; `kind` is the way to hide, if any."""
    return [
        generator(bench.seed, shard.ids[query.example], query.level, query.draw, kind)
        for query in batch
    ]


def energy(values: Tensor, power: int = 2) -> Tensor:
    """Mean of |value|^power over a row, to the power 2 / power: [B, *shape] -> [B] float64."""
    mean: Tensor = values.flatten(1).double().abs().pow(power).mean(1)
    return mean.pow(2 / power)


def decibels(energies: Tensor, floor: Tensor | float = FLOOR) -> list[float]:
    """Energies [B] in dB, no less than that of an error of `floor`, which counts as none."""
    lowest = torch.as_tensor(floor, device=energies.device).double() ** 2
    values: list[float] = (10 * (energies + lowest).log10()).tolist()
    return values

"""The batches of a training: images, frozen noise and masks, levels; a function of (seed, step)."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from memaudit.config import TrainConfig, digest
from memaudit.corruption.noise import frozen_noise
from memaudit.errors import ConfigError
from memaudit.models.denoiser import Denoiser
from memaudit.models.schedule import Schedule
from memaudit.train.batch import Batch, Draws
from memaudit.train.corrupted import frozen_masks, masks_on_top
from memaudit.train.images import CACHE_BYTES, TrainingImages

ABOVE = 1.001  # times sigma_n: where its own noise is all there is, nothing can be learned
LEARNED_ABOVE = ("ambient", "gsure")  # losses that need all levels above sigma_n


@dataclass(frozen=True, eq=False)
class Feed:
    """Makes the batch of any step, or the rows of it that are one process's."""

    config: TrainConfig
    images: TrainingImages
    denoiser: Denoiser
    schedule: Schedule
    rows: slice = slice(None)
    _latents: dict[int, Tensor] = field(default_factory=dict, repr=False)

    def batch(self, step: int) -> Batch:
        """The batch of a step; its random numbers are those of the whole batch, cut."""
        config = self.config
        chosen = _chosen(config, step, len(self.images))[self.rows]
        ids = [self.images.ids[k] for k in chosen]
        x0 = self.clean(chosen)
        draws = Draws(
            torch.Generator().manual_seed(_seed(config.seed, step)),
            (config.batch_size, *x0.shape[1:]),
            self.rows,
        )
        frozen = self.frozen(ids).to(x0) if config.sigma_n else torch.zeros_like(x0)
        mask = frozen_masks(config, ids).to(x0)
        if config.flip:
            mirrored = draws.uniform().view(-1, 1, 1, 1).to(x0.device) < 0.5
            x0, frozen, mask = (torch.where(mirrored, a.flip(-1), a) for a in (x0, frozen, mask))
        lowest, highest = lowest_step(config, self.schedule), len(self.schedule.log_sigmas) - 1
        sigma = self.schedule.sigma(lowest + draws.uniform() * (highest - lowest)).to(x0.device)
        return Batch(
            x0=x0,
            frozen=frozen,
            sigma=sigma,
            noise=draws.normal().to(x0.device),
            sigma_n=config.sigma_n or 0.0,
            mask=mask,
            further=mask * masks_on_top(config, step, self.rows).to(x0),
            draws=draws,
            done=step / config.steps,
            prompts=tuple(self.images.prompts[k] for k in chosen),
        )

    def clean(self, chosen: list[int]) -> Tensor:
        """Images in the model's space, [b, *shape]; latents are computed once, while they fit."""
        if self.config.base is None:
            return self.denoiser.encode(torch.stack([self.images[k] for k in chosen]))
        rows = []
        for k in chosen:
            row = self._latents.get(k)
            if row is None:
                row = self.denoiser.encode(self.images[k][None])[0].cpu()
                if (len(self._latents) + 1) * row.nbytes <= CACHE_BYTES:
                    self._latents[k] = row
            rows.append(row)
        return torch.stack(rows).to(self.denoiser.device)

    def frozen(self, ids: list[str]) -> Tensor:
        """The noise of some images, one draw an image, [b, *shape]."""
        return frozen_noise(ids, self.denoiser.shape, self.config.sigma_n or 0.0, self.config.seed)


def lowest_step(config: TrainConfig, schedule: Schedule) -> float:
    """Step of the schedule from which levels are drawn; an ambient loss needs them above sigma_n.

    Raises ConfigError for a sigma_n outside the schedule.
    """
    if config.sigma_n is None:
        return 0.0
    if not schedule.sigma_min < config.sigma_n < schedule.sigma_max / ABOVE:
        raise ConfigError(
            f"--sigma-n {config.sigma_n:g} is outside the noise of schedule {schedule.name}, "
            f"{schedule.sigma_min:.4g} to {schedule.sigma_max:.4g}; give one inside"
        )
    if config.loss not in LEARNED_ABOVE:
        return 0.0
    return float(schedule.timestep(torch.tensor([ABOVE * config.sigma_n])))


def _chosen(config: TrainConfig, step: int, images: int) -> list[int]:
    """Which images a step sees: an endless run of shuffled epochs, cut into batches."""
    first = step * config.batch_size
    epochs = range(first // images, (first + config.batch_size - 1) // images + 1)
    order = torch.cat([_shuffled(images, _seed(config.seed, -1 - epoch)) for epoch in epochs])
    chosen: list[int] = order[first - epochs[0] * images :][: config.batch_size].tolist()
    return chosen


def _shuffled(n: int, seed: int) -> Tensor:
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))


def _seed(seed: int, step: int) -> int:
    return int(digest([seed, step])[:15], 16)

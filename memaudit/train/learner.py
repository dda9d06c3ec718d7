"""What is trained: the weights that move, how they denoise, and how they are shown and saved."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from torch import nn
from torch.optim.swa_utils import AveragedModel

from memaudit.models.denoiser import Denoiser
from memaudit.models.schedule import Schedule
from memaudit.train.batch import Batch, Estimate


class Learner(Protocol):
    """A network with some weights to train."""

    @property
    def weights(self) -> nn.Module:
        """The weights that are trained, and no others."""

    @property
    def denoiser(self) -> Denoiser:
        """The network in sigma space, without what its own sampler does to x0."""

    @property
    def schedule(self) -> Schedule:
        """Its noise schedule, from which the levels of a training are drawn."""

    def estimate(self, batch: Batch) -> Estimate:
        """The network as a loss asks it, told what it may know of the images of a batch."""

    def averaged(
        self, average: AveragedModel, lowest: float | None
    ) -> AbstractContextManager[Denoiser]:
        """The model as it would be finished now: averaged weights, sampled down to `lowest`."""

    def save(self, average: AveragedModel, out: Path) -> None:
        """Write the finished model in safetensors; the last use of the learner."""

"""What is done with each image: the full passes of a scan, and cheap first passes before them."""

from __future__ import annotations

from dataclasses import dataclass

from memaudit.attacks.reconstruct import evaluations
from memaudit.config import Reconstruction, Sampler, ScanConfig
from memaudit.statistics import SCREENS, of_copies

FEW_STEPS = 3


@dataclass(frozen=True)
class Grid:
    """The levels of a scan, and those of them at which noisy copies are queried too."""

    sigmas: tuple[float, ...]
    noisy: tuple[float, ...] = ()

    def at(self, sigmas: tuple[float, ...]) -> Grid:
        """Some of the levels."""
        return Grid(sigmas, tuple(sigma for sigma in self.noisy if sigma in sigmas))


@dataclass(frozen=True)
class Pass:
    """One way to reconstruct an image; `name` is what its scores say under `reconstruction`.

    `noisy` are the levels at which its noisy copy is reconstructed too. `paired`: a reference model
    reconstructs the corrupted clean images as well.
    """

    name: str
    mode: Reconstruction
    steps: int
    sigmas: tuple[float, ...]
    draws: int
    noisy: tuple[float, ...] = ()
    paired: bool = False

    @property
    def names(self) -> tuple[str, str]:
        """What its scores say under `reconstruction`: of clean images, and of noisy copies."""
        return self.name, of_copies(self.name)

    @property
    def queries(self) -> int:
        """Corrupted images that are made of an image."""
        return (len(self.sigmas) + len(self.noisy)) * self.draws

    @property
    def reconstructions(self) -> int:
        """Images that are made of an image, by the model and by its reference."""
        return self.queries + (len(self.sigmas) * self.draws if self.paired else 0)

    def evaluations(self, sampler: Sampler) -> int:
        """Network evaluations that an image takes."""
        return self.reconstructions * evaluations(self.mode, sampler, self.steps)


def full_passes(config: ScanConfig, grid: Grid) -> tuple[Pass, ...]:
    """All that was asked for, each reconstruction at every level and draw."""
    draws, paired = config.corruption.draws, config.reference is not None
    return tuple(
        Pass(mode, mode, config.steps, grid.sigmas, draws, grid.noisy, paired)
        for mode in config.reconstruct
    )


def screens(config: ScanConfig, grid: Grid) -> tuple[Pass, ...]:
    """First passes of an adaptive scan, cheapest first: one draw each.

    One step at every level; or, because one step acquits what full sampling convicts in models
    that were trained on noisy data, few steps at every other level.
    """
    one, few = SCREENS
    half = grid.at(grid.sigmas[1::2] or grid.sigmas)
    paired = config.reference is not None
    return (
        Pass(one, "one-step", 1, grid.sigmas, 1, grid.noisy, paired),
        Pass(few, "ode", FEW_STEPS, half.sigmas, 1, half.noisy, paired),
    )


def evaluations_each(passes: tuple[Pass, ...], sampler: Sampler) -> int:
    """Network evaluations that an image takes in all of these passes."""
    return sum(how.evaluations(sampler) for how in passes)

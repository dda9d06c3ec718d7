"""What is done with each image: the full passes of a scan, and cheap first passes before them."""

from __future__ import annotations

from dataclasses import dataclass

from memaudit.config import Reconstruction, Sampler, ScanConfig
from memaudit.stages.calibrate import SCREENS
from memaudit.stages.reconstruct import evaluations

FEW_STEPS = 3


@dataclass(frozen=True)
class Pass:
    """One way to reconstruct an image; `name` is what its scores say under `reconstruction`."""

    name: str
    mode: Reconstruction
    steps: int
    sigmas: tuple[float, ...]
    draws: int

    def evaluations(self, sampler: Sampler) -> int:
        """Network evaluations that an image takes."""
        queries = len(self.sigmas) * self.draws
        return queries * evaluations(self.mode, sampler, self.steps)


def full_passes(config: ScanConfig, sigmas: tuple[float, ...]) -> tuple[Pass, ...]:
    """All that was asked for, each reconstruction at every level and draw."""
    draws = config.corruption.draws
    return tuple(Pass(mode, mode, config.steps, sigmas, draws) for mode in config.reconstruct)


def screens(sigmas: tuple[float, ...]) -> tuple[Pass, ...]:
    """First passes of an adaptive scan, cheapest first: one draw each.

    One step at every level; or, because one step acquits what full sampling convicts in models
    that were trained on noisy data, few steps at every other level.
    """
    one, few = SCREENS
    return (
        Pass(one, "one-step", 1, sigmas, 1),
        Pass(few, "ode", FEW_STEPS, sigmas[1::2] or sigmas, 1),
    )


def evaluations_each(passes: tuple[Pass, ...], sampler: Sampler) -> int:
    """Network evaluations that an image takes in all of these passes."""
    return sum(how.evaluations(sampler) for how in passes)

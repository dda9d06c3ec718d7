"""SecMI: how far from a noised image does one deterministic step up and back end?

Duan et al. 2023 (arXiv 2302.01316).
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memaudit.attacks.noiseless import Noiseless
from memaudit.attacks.sources import Sources, energy
from memaudit.config import AttackConfig
from memaudit.corruption.noise import per_row
from memaudit.records import Column

STEPS = 10  # from the image up to the level, each a hundredth of the schedule at its own level
BETAS = (1e-4, 0.02, 1000)  # the linear schedule of Ho et al. 2020, in whose time steps are equal

COLUMN = Column(
    "secmi",
    "energy of the error of one step up and back, dB of an image of unit power",
    higher=False,
)


def measure(sources: Sources) -> Tensor:
    """Squared error of x after a step up and back, in variance-preserving coordinates, [B]."""
    ladder = rungs(sources.added, sources.lowest)
    x = sources.x * per_row((1 + ladder[0] ** 2).sqrt(), sources.x)
    for low, high in pairwise(ladder[:-1]):
        x = _step(sources, x, low, high)
    level, above = ladder[-2], ladder[-1]
    back = _step(sources, _step(sources, x, level, above), above, level)
    return energy(back - x) / (1 + level.double() ** 2)


def _step(sources: Sources, x: Tensor, sigma: Tensor, to: Tensor) -> Tensor:
    """A step of DDIM without noise (Song et al. 2021, arXiv 2010.02502) in sigma space."""
    return x + per_row(to - sigma, x) * sources.noise(x, sigma)


def rungs(sigma: Tensor, lowest: Tensor) -> list[Tensor]:
    """Noise levels [B] from the lowest up to `sigma` in STEPS, and one step above.

    Steps are equal in the time of the linear schedule, so that on such a model they are those of
    the paper; none lies below `lowest`.
    """
    times, log_sigmas = _schedule()
    top = np.interp(sigma.double().log().cpu().numpy(), log_sigmas, times)
    levels = [
        torch.from_numpy(np.exp(np.interp(top * k / STEPS, times, log_sigmas))).to(lowest)
        for k in range(STEPS + 2)
    ]
    levels[STEPS] = sigma
    return [torch.maximum(level, lowest) for level in levels]


@cache
def _schedule() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Times 0 .. 999 and the logarithm of sigma at each."""
    kept = np.cumprod(1 - np.linspace(*BETAS))
    return np.arange(len(kept), dtype=np.float64), 0.5 * np.log((1 - kept) / kept)


def secmi(config: AttackConfig) -> Noiseless:  # noqa: ARG001
    """Score by the error of one deterministic step up and back."""
    return Noiseless("secmi", COLUMN, STEPS + 2, measure)

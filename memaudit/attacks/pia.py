"""PIA and PIAN: does the network find the noise again that it itself takes to be in the image?

Kong et al. 2024 (arXiv 2305.18355).
"""

from __future__ import annotations

import math

from torch import Tensor

from memaudit.attacks.noiseless import Noiseless
from memaudit.attacks.sources import Sources, energy
from memaudit.config import AttackConfig
from memaudit.corruption.noise import corrupt, per_row
from memaudit.records import Column

ORDER = 4  # of the norm
MEAN_OF_NORMAL = math.sqrt(2 / math.pi)  # of |n|

HELP = "4-norm of the difference between the noise that is put in and that found, dB of unit noise"


def measure(sources: Sources) -> Tensor:
    """Squared 4-norm of the difference of both estimates of noise, [B]."""
    return _difference(sources, _first(sources))


def measure_normalised(sources: Sources) -> Tensor:
    """The same with the first estimate scaled to the mean size of normal noise, [B]."""
    first = _first(sources)
    size = first.flatten(1).abs().mean(1).clamp(min=1e-12)
    return _difference(sources, first * per_row(MEAN_OF_NORMAL / size, first))


def _first(sources: Sources) -> Tensor:
    """The noise that is found in the image itself at the network's lowest level."""
    lowest = sources.lowest
    return sources.noise(sources.x * per_row((1 + lowest**2).sqrt(), sources.x), lowest)


def _difference(sources: Sources, first: Tensor) -> Tensor:
    noisy = corrupt(sources.x, sources.added, first)
    return energy(first - sources.noise(noisy, sources.added), ORDER)


def pia(config: AttackConfig) -> Noiseless:  # noqa: ARG001
    """Score by the difference of two estimates of noise."""
    return Noiseless("pia", Column("pia", HELP, higher=False), 2, measure, in_noise=True)


def pian(config: AttackConfig) -> Noiseless:  # noqa: ARG001
    """The same with the noise that is put in scaled to that of a normal variable."""
    help_ = f"{HELP}; the noise that is put in is scaled"
    return Noiseless(
        "pian", Column("pian", help_, higher=False), 2, measure_normalised, in_noise=True
    )

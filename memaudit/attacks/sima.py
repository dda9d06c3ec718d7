"""SimA: how large is the noise that the network finds in an image without any?

Rao et al. 2025 (arXiv 2509.25003).
"""

from __future__ import annotations

from torch import Tensor

from memaudit.attacks.noiseless import Noiseless
from memaudit.attacks.sources import Sources, energy
from memaudit.config import AttackConfig
from memaudit.corruption.noise import per_row
from memaudit.records import Column

ORDER = 4  # of the norm

COLUMN = Column(
    "sima",
    "4-norm of the noise that is found in the image as it is, dB of unit noise",
    higher=False,
)


def measure(sources: Sources) -> Tensor:
    """Squared 4-norm of the estimated noise, averaged over dimensions, [B].

    A variance-preserving network is given the image itself in place of a noised one, which is
    x0 sqrt(1 + sigma^2) in sigma space.
    """
    grown = sources.x * per_row((1 + sources.added**2).sqrt(), sources.x)
    return energy(sources.noise(grown, sources.added), ORDER)


def sima(config: AttackConfig) -> Noiseless:  # noqa: ARG001
    """Score by the norm of the network's estimate of noise on the image itself."""
    return Noiseless("sima", COLUMN, 1, measure, in_noise=True)

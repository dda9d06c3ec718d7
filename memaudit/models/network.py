"""What denoisers around a network share, whatever the network and the space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from memaudit.models.codec import Codec, Coded
from memaudit.models.parameterization import Parameterization


@dataclass(frozen=True, eq=False, kw_only=True)
class NetworkDenoiser(Coded):
    """A network whose output is understood by a parameterization, in the space of a codec.

    `lowest` is the noise below which a model of noisy data learned nothing.
    """

    codec: Codec
    parameterization: Parameterization
    lowest: float | None = None
    estimate: Literal["mean", "sample"] = "mean"

    @property
    def sigma_min(self) -> float:
        """The lowest noise the network was trained on."""
        return max(self.parameterization.sigma_min, self.lowest or 0.0)

    @property
    def sigma_max(self) -> float:
        """The highest finite noise the network was trained on."""
        return self.parameterization.sigma_max

    @property
    def middle(self) -> float | None:
        """The noise in the middle of a flow's time; None for other parameterizations."""
        return getattr(self.parameterization, "middle", None)

    def sigma_of_timestep(self, timestep: int) -> float:
        """The noise at a step of the training schedule."""
        return self.parameterization.sigma_of_timestep(timestep)

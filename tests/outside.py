"""Parameterizations and families that another package could bring, as it would write them.

Their networks answer exactly: each holds the perfect memorizer of some images, and says its
posterior mean in the terms of its own parameterization.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from memaudit.corruption.noise import per_row
from memaudit.errors import ConfigError
from memaudit.models.closed_form import ClosedForm
from memaudit.models.codec import PixelCodec
from memaudit.models.families.registry import Family
from memaudit.models.loaded import Loaded, ModelOptions
from memaudit.models.parameterization import Predict
from memaudit.models.pixel import PixelDenoiser
from memaudit.models.provenance import Provenance

SPREAD = 0.5  # sigma_d of EDM


@dataclass(frozen=True, eq=False)
class Edm:
    """Variance exploding, preconditioned (Karras et al. 2022, arXiv 2206.00364, table 1)."""

    sign: float = 1.0
    sigma_min: float = 0.002
    sigma_max: float = 80.0

    def x0(self, x: Tensor, sigma: Tensor, predict: Predict) -> Tensor:
        level = per_row(sigma, x)
        total = (level**2 + SPREAD**2).sqrt()
        output = self.sign * predict(x / total, sigma.log() / 4)
        return (SPREAD / total) ** 2 * x + level * SPREAD / total * output

    def sigma_of_timestep(self, timestep: int) -> float:
        raise ConfigError(f"--timestep {timestep} needs a model with a schedule; give --sigma")

    def others(self) -> Iterator[tuple[str, "Edm"]]:
        yield "EDM with its sign flipped", replace(self, sign=-self.sign)

    def described(self) -> dict[str, str]:
        return {"parameterization": "edm"}


@dataclass(frozen=True, eq=False)
class Flow:
    """Rectified flow (Liu et al. 2022, arXiv 2209.03003): x_u = (1 - u) x0 + u n, F = n - x0."""

    sign: float = 1.0
    steps: int = 1000

    @property
    def sigma_min(self) -> float:
        return self.sigma_of_timestep(0)

    @property
    def sigma_max(self) -> float:
        return self.sigma_of_timestep(self.steps - 1)

    def x0(self, x: Tensor, sigma: Tensor, predict: Predict) -> Tensor:
        u = sigma / (1 + sigma)
        x_u = (1 - per_row(u, x)) * x
        return x_u - self.sign * per_row(u, x) * predict(x_u, self.steps * u)

    def sigma_of_timestep(self, timestep: int) -> float:
        u = (timestep + 0.5) / self.steps
        return u / (1 - u)

    def others(self) -> Iterator[tuple[str, "Flow"]]:
        yield "flow with its sign flipped", replace(self, sign=-self.sign)

    def described(self) -> dict[str, str]:
        return {"parameterization": "flow"}


class _Exact(nn.Module):
    """A network that memorized images [N, C, H, W]."""

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self.images = nn.Parameter(images, requires_grad=False)

    def mean(self, x: Tensor, sigma: Tensor) -> Tensor:
        return ClosedForm(self.images).denoise(x, sigma)


class EdmNetwork(_Exact):
    """F = (D - c_skip x) / c_out."""

    def forward(self, x: Tensor, time: Tensor, return_dict: bool = False) -> tuple[Tensor]:  # noqa: ARG002
        sigma = (4 * time).exp()
        level = per_row(sigma, x)
        total = (level**2 + SPREAD**2).sqrt()
        noisy = total * x
        mean = self.mean(noisy, sigma)
        return ((mean - (SPREAD / total) ** 2 * noisy) / (level * SPREAD / total),)


class FlowNetwork(_Exact):
    """F = E[n - x0 | x_u]."""

    def forward(self, x: Tensor, time: Tensor, return_dict: bool = False) -> tuple[Tensor]:  # noqa: ARG002
        u = time / 1000
        noisy = x / (1 - per_row(u, x))
        return ((x - self.mean(noisy, u / (1 - u))) / per_row(u, x),)


def edm(images: Tensor) -> PixelDenoiser:
    """The perfect memorizer of images [N, C, H, W], as an EDM model."""
    return _around(EdmNetwork(images), Edm())


def flow(images: Tensor) -> PixelDenoiser:
    """The same, as a flow-matching model."""
    return _around(FlowNetwork(images), Flow())


def _around(network: _Exact, parameterization: Edm | Flow) -> PixelDenoiser:
    codec = PixelCodec((*network.images.shape[1:],), torch.device("cpu"))
    return PixelDenoiser(network=network, codec=codec, parameterization=parameterization)


IMAGES = "memorized.safetensors"  # what a folder of the family below holds


def owns(folder: Path) -> bool:
    """Whether a folder holds the images of such a network."""
    return (folder / IMAGES).is_file()


def owns_all(folder: Path) -> bool:  # noqa: ARG001
    """Claim every folder there is."""
    return True


def load(folder: Path, options: ModelOptions) -> Loaded:
    """Open the EDM network of the images in a folder."""
    denoiser = edm(load_file(folder / IMAGES)["images"].to(options.device))
    reading = denoiser.parameterization.described()
    return Loaded(denoiser, Provenance("exact-edm", reading=reading), folder=folder)


FAMILY = Family(load, owns)
GREEDY = Family(load, owns_all)
BY_NAME = Family(load)

"""Whether adapters change what a model answers: by more than the rounding of its numbers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from torch import Tensor

from memaudit.errors import ModelError
from memaudit.models.latent import LatentDenoiser, Told
from memaudit.models.latent_parts import quiet
from memaudit.models.limits import naming
from memaudit.models.parameterization import Parameterization, Predict

CAPTION = "a photo of a cat on a mat"
SIGMA = 1.0  # of the noise in what the network is shown
SEED = 0
ROUNDINGS = 1.5  # since two that are rounded otherwise are not always as far apart


@dataclass(frozen=True, eq=False)
class _Heard:
    """A parameterization that keeps what the network answers."""

    reading: Parameterization
    answers: list[Tensor] = field(default_factory=list)

    def x0(self, x: Tensor, sigma: Tensor, predict: Predict) -> Tensor:
        """What the parameterization makes of it."""

        def listen(shown: Tensor, time: Tensor) -> Tensor:
            self.answers.append(predict(shown, time))
            return self.answers[-1]

        return self.reading.x0(x, sigma, listen)


@torch.no_grad()
def encode(denoiser: LatentDenoiser) -> Told:
    """What the text encoders make of a fixed caption."""
    with quiet(), naming("the text encoder of the model"):
        return denoiser.backbone.encode(CAPTION)


@torch.no_grad()
def ask(denoiser: LatentDenoiser, told: Told, shaken: float = 0.0) -> Tensor:
    """What the network answers to fixed noise when it is told that, [1, C, h, w].

    `shaken` moves each number that it is shown or told by up to half of that share.
    """
    random = torch.Generator().manual_seed(SEED)

    def shake(tensor: Tensor) -> Tensor:
        if not tensor.is_floating_point():
            return tensor
        moved = 1 + shaken * (torch.rand(tensor.shape, generator=random) - 0.5)
        return (tensor.float() * moved.to(tensor.device)).to(tensor.dtype)

    noise = torch.randn(1, *denoiser.shape, generator=random).to(denoiser.device)
    sigma = min(max(SIGMA, denoiser.sigma_min), denoiser.sigma_max)
    heard: Any = _Heard(denoiser.parameterization)
    hears = replace(
        denoiser,
        parameterization=heard,
        _captions={CAPTION: {name: shake(tensor) for name, tensor in told.items()}},
    )
    hears.denoise(
        shake(noise) * (1 + sigma**2) ** 0.5,
        torch.full((1,), sigma, device=noise.device),
        [CAPTION],
    )
    return cast(Tensor, heard.answers[0])


def rounding(denoiser: LatentDenoiser, told: Told, answer: Tensor) -> float:
    """How far the answer moves, in lengths of it, by roundings of what the network sees.

    Measured, since a network makes them larger; at least the rounding of the answer itself.
    """
    eps = float(torch.finfo(denoiser.backbone.network.dtype).eps)
    return max(ROUNDINGS * _change(answer, ask(denoiser, told, eps)), eps / 2)


def expect_change(before: Told, after: Told, least: float, part: str, what: str) -> None:
    """Refuse adapters with which a part answers as without them; raises ModelError.

    The distance of its answers must be more than `least` of their length.
    """
    for tensor in after.values():
        if not bool(torch.isfinite(tensor).all()):
            raise ModelError(
                f"{what} make its {part} answer NaN or infinity: they are too strong for numbers "
                "of its dtype. Take --dtype float32, or an earlier checkpoint"
            )
    change = max((_change(one, after[name]) for name, one in before.items()), default=0.0)
    if change <= least:
        raise ModelError(
            f"{what} change what its {part} answers by {change:.1e} of its length, expected more "
            f"than {least:.1e}, which rounding does: a scan would be one of the base alone. Use "
            "--dtype float32 where that is not done yet, or take the file of a later step"
        )


def _change(before: Tensor, after: Tensor) -> float:
    """How far two answers are from each other, in lengths of the first."""
    if before.shape != after.shape or not before.is_floating_point():
        return 0.0
    distance = float((after.double() - before.double()).norm())
    return distance / max(float(before.double().norm()), 1e-30)

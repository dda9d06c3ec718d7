"""Whether adapters change what a model answers: by more than the rounding of its numbers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

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
def told(denoiser: LatentDenoiser) -> Told:
    """What the text encoders make of a fixed caption."""
    with quiet(), naming("the text encoder of the model"):
        return denoiser.backbone.encode(CAPTION)


@torch.no_grad()
def answer(denoiser: LatentDenoiser, told: Told) -> Told:
    """What the network answers to fixed noise, when it is told that."""
    noise = torch.randn(1, *denoiser.shape, generator=torch.Generator().manual_seed(SEED))
    sigma = min(max(SIGMA, denoiser.sigma_min), denoiser.sigma_max)
    heard: Any = _Heard(denoiser.parameterization)
    replace(denoiser, parameterization=heard, _captions={CAPTION: told}).denoise(
        noise.to(denoiser.device) * (1 + sigma**2) ** 0.5,
        torch.full((1,), sigma, device=denoiser.device),
        [CAPTION],
    )
    return {"answer": heard.answers[0]}


def expect_change(before: Told, after: Told, part: str, dtype: torch.dtype, what: str) -> None:
    """Refuse adapters with which a part answers as it does without them; raises ModelError.

    The distance of its answers must be more than their length times the precision of its dtype.
    """
    for tensor in after.values():
        if not bool(torch.isfinite(tensor).all()):
            raise ModelError(
                f"{what} make its {part} answer NaN or infinity: they are too strong for "
                f"{_name(dtype)}. Take --dtype float32, or an earlier checkpoint"
            )
    change = max(_change(tensor, after[name]) for name, tensor in before.items())
    if change <= torch.finfo(dtype).eps:
        raise ModelError(
            f"{what} change what its {part} answers by {change:.1e} of its length, expected more "
            f"than {torch.finfo(dtype).eps:.1e}, the precision of {_name(dtype)}: a scan would be "
            "one of the base alone. Take --dtype float32, or the file of a later step, if there is"
        )


def _change(before: Tensor, after: Tensor) -> float:
    """How far two answers are from each other, in lengths of the first."""
    if before.shape != after.shape or not before.is_floating_point():
        return 0.0
    distance = float((after.double() - before.double()).norm())
    return distance / max(float(before.double().norm()), 1e-30)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")

"""Posterior sampling: images that a model deems likely, given what is seen of them.

Of a model that is told what is seen (an inpainting model, the perfect memorizer) its own sampling
is used. Of any other the estimate of x0 is corrected by what is seen: moment matching (Rozet et al.
2024, arXiv 2405.13712), which takes x0 given x to be Gaussian, with the covariance sigma^2 J that
Tweedie's formula gives (J = dD/dx). It is exact for Gaussian images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from memaudit.attacks import samplers
from memaudit.corruption.linear import Seen
from memaudit.corruption.noise import per_row, standard_normal
from memaudit.errors import ModelError
from memaudit.models.denoiser import Denoiser, Inpaints, Told, in_pixels

START = 20.0  # noise at which the sampling begins, for images in [-1, 1]
END = 0.02  # and from which it goes to 0 in one step
RANGE = 3.0  # of estimates, for pixels in [-1, 1]: a correction may overshoot
Apply = Callable[[Tensor], Tensor]  # [B, *shape] -> [B, *shape]

TINY = 1e-20
PASS_BACK = 2  # forward passes that one back through the network takes as long as


@dataclass(frozen=True)
class Restore:
    """How what is hidden is found: a stochastic posterior sample in so many steps.

    Each of them is corrected by `corrections` steps of conjugate gradients. A model that is told
    what is seen needs no correction: its answer is drawn to its caption by `guidance` (Ho &
    Salimans 2022, arXiv 2207.12598; 1 is the answer itself), and below a `strength` of 1 the
    sampling begins with the image itself, under that share of its schedule's noise.
    """

    steps: int
    corrections: int
    guidance: float = 1.0
    strength: float = 1.0

    @property
    def evaluations(self) -> int:
        """What one restoration takes at most, a pass back through the network counted as two."""
        return self.steps * (1 + PASS_BACK * (self.corrections + 1))

    def __call__(
        self,
        denoiser: Denoiser,
        seen: Seen,
        generators: list[np.random.Generator],
        captions: Sequence[str] = (),
        sources: Tensor | None = None,
    ) -> Tensor:
        """Images [B, *shape] that have what is `seen`, in model space.

        The noise of each row comes from its generator. `sources` are the images themselves, for a
        strength below 1.
        """
        shape, device = tuple(seen.y.shape[1:]), seen.y.device

        def noise() -> Tensor:
            return standard_normal(generators, shape).to(device)

        begin, x = min(START, denoiser.sigma_max), torch.zeros_like(seen.y)
        if self.strength < 1 and sources is not None and isinstance(denoiser, Inpaints):
            begin, x = min(begin, denoiser.sigma_at(self.strength)), sources
        start = torch.full((len(seen.y),), begin, device=device)
        sigmas = samplers.sampling_sigmas(start, max(END, denoiser.sigma_min), self.steps)
        x = x + begin * noise()
        told = denoiser.given(seen)
        if told is not None:
            guidance = self.guidance if isinstance(denoiser, Inpaints) else 1.0
            estimate = partial(guided, told, captions, guidance)
            with torch.inference_mode():
                x0 = samplers.ancestral(estimate, x, sigmas, noise)
            return seen.shown(x0.clone())
        estimate = partial(posterior_mean, denoiser, seen, captions, self.corrections)
        return seen.shown(samplers.ancestral_2m(estimate, x, sigmas, noise))


def guided(
    told: Told, captions: Sequence[str], guidance: float, x: Tensor, sigma: Tensor
) -> Tensor:
    """The answer of a model that is told captions, moved away from that without, `guidance` times.

    As estimates of x0 are linear in the network's output, it is the same as to move that.
    """
    answer = told.denoise(x, sigma, captions)
    if guidance == 1:
        return answer
    without = told.denoise(x, sigma, [""] * len(x))
    return without + guidance * (answer - without)


def posterior_mean(
    denoiser: Denoiser,
    seen: Seen,
    captions: Sequence[str],
    corrections: int,
    x: Tensor,
    sigma: Tensor,
) -> Tensor:
    """E[x0 | x, y] for x = x0 + sigma n and y = A x0 + sigma_y n, by moment matching.

    With D = E[x0 | x] and C = sigma^2 J it is D + C A' (A C A' + sigma_y^2)^-1 (y - A D); the
    inverse by `corrections` steps of conjugate gradients, each one pass back through the network.
    """
    view, (x0, spread) = seen.view, _answer(denoiser, x, sigma, captions)

    def system(direction: Tensor) -> Tensor:
        return view.of(spread(view.back(direction))) + seen.sigma**2 * direction

    missing = (seen.y - view.of(x0)) * (view.gain > 0)
    weights = conjugate_gradients(system, missing, corrections)
    corrected: Tensor = x0 + spread(view.back(weights))
    if not in_pixels(denoiser):
        return corrected
    return torch.where(x0.isfinite(), corrected.clamp(-RANGE, RANGE), torch.nan)


def _answer(
    denoiser: Denoiser, x: Tensor, sigma: Tensor, captions: Sequence[str]
) -> tuple[Tensor, Apply]:
    """D at x, and what makes C times a direction; J is symmetric where D is a posterior mean."""
    variance = per_row(sigma.square(), x)
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        x0 = denoiser.unclipped.denoise(x, sigma, captions)
    if not x0.requires_grad:
        raise ModelError(
            "hidden parts are restored by the derivative of what the model answers, and its answer "
            "has none; let `denoise` keep gradients, or take --corruption noise"
        )

    def spread(direction: Tensor) -> Tensor:
        (back,) = torch.autograd.grad(x0, x, direction, retain_graph=True)
        return variance * back

    return x0.detach(), spread


def conjugate_gradients(system: Apply, right: Tensor, steps: int) -> Tensor:
    """Solve system(w) = right for each row of [B, *shape], by so many steps from 0."""
    solution = torch.zeros_like(right)
    residual = direction = right
    energy = _dot(residual, residual)
    for _ in range(steps):
        turned = system(direction)
        curvature = _dot(direction, turned)
        step = torch.where(curvature > 0, energy / curvature.clamp(min=TINY), 0.0)
        solution = solution + per_row(step, right) * direction
        residual = residual - per_row(step, right) * turned
        left = _dot(residual, residual)
        direction = residual + per_row(left / energy.clamp(min=TINY), right) * direction
        energy = left
    return solution


def _dot(one: Tensor, other: Tensor) -> Tensor:
    product: Tensor = (one.double() * other).flatten(1).sum(1)
    return product.float()

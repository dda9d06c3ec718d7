"""Samplers: plain functions over denoise(x, sigma) in sigma space, x = x0 + sigma n.

`sigmas` is [S + 1, B]: a falling row of noise levels for each image, the last of them 0. The first
level is the noise that is in `x`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from torch import Tensor

from memaudit.corruption.noise import per_row

Denoise = Callable[[Tensor, Tensor], Tensor]  # x [B, C, H, W], sigma [B] -> x0
Noise = Callable[[], Tensor]  # -> [B, C, H, W] standard normal

RHO = 7.0  # spacing of the levels, Karras et al. 2022 (arXiv 2206.00364), eq. 5


def sampling_sigmas(sigma: Tensor, sigma_min: float, steps: int) -> Tensor:
    """[B] start levels -> [steps + 1, B], from each start to sigma_min and then 0."""
    end = torch.full_like(sigma, sigma_min).minimum(sigma)
    ramp = torch.linspace(0, 1, steps, device=sigma.device).view(-1, 1)
    levels = (sigma ** (1 / RHO) + ramp * (end ** (1 / RHO) - sigma ** (1 / RHO))) ** RHO
    levels[0] = sigma
    return torch.cat([levels, torch.zeros_like(sigma).view(1, -1)])


def euler(denoise: Denoise, x: Tensor, sigmas: Tensor) -> Tensor:
    """Euler's method on the probability-flow ODE; for this ODE the same as DDIM.

    Song et al. 2021 (arXiv 2010.02502). One evaluation a step.
    """
    for sigma, after in _steps(sigmas):
        x0 = denoise(x, sigma)
        x = x0 + per_row(after / sigma, x) * (x - x0)
    return x


def heun(denoise: Denoise, x: Tensor, sigmas: Tensor) -> Tensor:
    """Heun's second-order method (Karras et al. 2022, algorithm 1); 2 S - 1 evaluations."""
    for sigma, after in _steps(sigmas):
        slope = (x - denoise(x, sigma)) / per_row(sigma, x)
        moved = x + per_row(after - sigma, x) * slope
        if bool((after > 0).all()):
            second = (moved - denoise(moved, after)) / per_row(after, x)
            moved = x + per_row(after - sigma, x) * (slope + second) / 2
        x = moved
    return x


def dpmpp_2m(denoise: Denoise, x: Tensor, sigmas: Tensor) -> Tensor:
    """DPM-Solver++(2M), Lu et al. 2022 (arXiv 2211.01095, algorithm 2); one evaluation a step.

    In lambda = -log sigma the exact solution is x' = (sigma'/sigma) x + (1 - sigma'/sigma) D with
    D extrapolated from the last two estimates of x0.
    """
    last: tuple[Tensor, Tensor] | None = None  # estimate and lambda step before this one
    for sigma, after in _steps(sigmas):
        x0 = denoise(x, sigma)
        estimate = x0
        step = (sigma / after).log()
        if last is not None and bool((after > 0).all()):
            before, step_before = last
            moved = step_before > 0  # not where x was at the lowest level from the start
            extrapolation = torch.where(moved, step / (2 * step_before), 0)
            estimate = x0 + per_row(extrapolation, x) * (x0 - before)
        ratio = per_row(after / sigma, x)
        x = ratio * x + (1 - ratio) * estimate
        last = (x0, step)
    return x


def ancestral(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Noise) -> Tensor:
    """A stochastic posterior sample: DDPM's ancestral step in sigma space.

    Ho et al. 2020 (arXiv 2006.11239). One evaluation a step; `noise` is called once a step.
    """
    for sigma, after in _steps(sigmas):
        x = ancestral_step(x, denoise(x, sigma), (sigma, after), noise())
    return x


def ancestral_2m(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Noise) -> Tensor:
    """The same with x0 extrapolated from the last two estimates: the stochastic DPM-Solver++(2M).

    Lu et al. 2022 (arXiv 2211.01095, section 4 and appendix). One evaluation a step.
    """
    last: tuple[Tensor, Tensor] | None = None  # estimate and lambda step before this one
    for sigma, after in _steps(sigmas):
        x0 = denoise(x, sigma)
        estimate, step = x0, (sigma / after).log()
        if last is not None and bool((after > 0).all()):
            before, step_before = last
            estimate = x0 + per_row(step / (2 * step_before), x) * (x0 - before)
        x = ancestral_step(x, estimate, (sigma, after), noise())
        last = (x0, step)
    return x


def ancestral_step(x: Tensor, x0: Tensor, levels: tuple[Tensor, Tensor], noise: Tensor) -> Tensor:
    """One ancestral step from the first level [B] to the second, below it, with x0 as estimate."""
    sigma, after = levels
    up = (after**2 * (sigma**2 - after**2).clamp(min=0) / sigma**2).sqrt()
    down = (after**2 - up**2).clamp(min=0).sqrt()
    return x0 + per_row(down / sigma, x) * (x - x0) + per_row(up, x) * noise


def _steps(sigmas: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    return pairwise(sigmas)

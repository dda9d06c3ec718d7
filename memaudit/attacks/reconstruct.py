"""Reconstruction: from the corrupted image to the model's idea of the clean one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from memaudit.attacks import samplers
from memaudit.config import Reconstruction, Sampler
from memaudit.corruption.noise import standard_normal
from memaudit.models.denoiser import Denoiser

SOLVERS: dict[Sampler, Callable[[samplers.Denoise, Tensor, Tensor], Tensor]] = {
    "euler": samplers.euler,
    "heun": samplers.heun,
    "dpmpp-2m": samplers.dpmpp_2m,
}


@torch.inference_mode()
def reconstruct(
    denoiser: Denoiser,
    x: Tensor,
    sigma: Tensor,
    generators: list[np.random.Generator],
    how: tuple[Reconstruction, Sampler, int],
    prompts: Sequence[str] = (),
) -> Tensor:
    """Clean images from x = x0 + sigma n, in model space.

    `how` is (mode, sampler, steps). "ode": deterministic sampling of the probability-flow ODE from
    the corrupted image; "one-step": the posterior mean; "sample": a stochastic posterior sample,
    whose noise continues each row's own generator. `prompts` are the captions of a text-to-image
    model.
    """
    mode, sampler, steps = how
    denoise = partial(denoiser.denoise, prompts=prompts)
    if mode == "one-step":
        return denoise(x, sigma)
    sigmas = samplers.sampling_sigmas(sigma, denoiser.sigma_min, steps)
    if mode == "ode":
        return SOLVERS[sampler](denoise, x, sigmas)
    shape = tuple(x.shape[1:])
    return samplers.ancestral(
        denoise, x, sigmas, lambda: standard_normal(generators, shape).to(x.device)
    )


def evaluations(mode: Reconstruction, sampler: Sampler, steps: int) -> int:
    """Network evaluations that one reconstruction takes."""
    if mode == "one-step":
        return 1
    return 2 * steps - 1 if mode == "ode" and sampler == "heun" else steps

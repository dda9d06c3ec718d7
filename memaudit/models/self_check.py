"""The self-check: is the network read the way it was trained?

A misread model reconstructs nothing and would be acquitted. Its reading is tested on real
images against every alternative, paired, before any verdict rests on it. Images of both splits
are used, without looking at which is which: an overfit model denoises held-out images badly under
the right reading, and at too high a time it would look better there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from scipy import stats
from torch import Tensor

from memaudit.errors import MisreadModelError
from memaudit.models.denoiser import Denoiser, per_row

LEVELS = 4
LOWEST, HIGHEST = 0.3, 10.0  # at tiny sigma every reading looks alike
MATERIAL = math.log(1.05)  # an alternative must be this much better, beyond its interval
CONFIDENCE = 0.999  # about ten alternatives are compared


@dataclass(frozen=True)
class SelfCheck:
    """What the check saw: mean squared error per level, declared against the trivial answers."""

    sigmas: tuple[float, ...]
    declared: tuple[float, ...]
    identity: tuple[float, ...]
    data_mean: float
    best_alternative: str
    best_log_ratio: float  # mean log(MSE of the alternative / MSE declared); > 0 is good
    images: int


@torch.inference_mode()
def self_check(denoiser: Denoiser, x0: Tensor, seed: int = 0) -> SelfCheck:
    """Compare the declared reading with its alternatives on clean images x0 [B, *shape].

    Raises MisreadModelError if an alternative is better beyond its interval, or if the declared
    reading nowhere beats both the identity and the data mean.
    """
    sigmas = _levels(denoiser)
    noise = torch.randn(x0.shape, generator=torch.Generator().manual_seed(seed)).to(x0)
    declared = _errors(denoiser, x0, noise, sigmas)
    if not declared.isfinite().all():
        raise MisreadModelError(
            "the model returns values that are not finite; check its weights and dtype"
        )
    identity = [float((sigma * noise).square().mean()) for sigma in sigmas]
    data_mean = float((x0 - x0.mean(0)).square().mean())
    levels = declared.mean(1).tolist()
    name, ratio = _best_alternative(denoiser, x0, noise, sigmas, declared)
    trivial = [min(value, data_mean) for value in identity]
    if all(level >= floor for level, floor in zip(levels, trivial, strict=True)):
        raise MisreadModelError(
            "unsupported or misread model: on real images its prediction is no better than "
            "returning the noisy input or the average image at any noise level "
            f"(MSE {_row(levels)} against {_row(trivial)} at sigma {_row(sigmas)}). Check that "
            "the weights are trained and the scheduler is the one used in training; "
            "--no-self-check scans all the same, with an inconclusive verdict"
        )
    return SelfCheck(tuple(sigmas), tuple(levels), tuple(identity), data_mean, name, ratio, len(x0))


def _levels(denoiser: Denoiser) -> list[float]:
    low = max(LOWEST, denoiser.sigma_min)
    high = min(HIGHEST, denoiser.sigma_max)
    if high < low:
        raise MisreadModelError(
            f"the model's noise range ({denoiser.sigma_min:.3g} .. {denoiser.sigma_max:.3g}) does "
            f"not reach the self-check's ({LOWEST} .. {HIGHEST}): its schedule is unusual or "
            "misread. --no-self-check scans all the same, with an inconclusive verdict"
        )
    step = (high / low) ** (1 / (LEVELS - 1))
    return [low * step**k for k in range(LEVELS)]


def _errors(denoiser: Denoiser, x0: Tensor, noise: Tensor, sigmas: list[float]) -> Tensor:
    """[levels, B] mean squared error of each image."""
    rows = []
    for level in sigmas:
        sigma = torch.full((len(x0),), level, device=x0.device)
        estimate = denoiser.denoise(x0 + per_row(sigma, x0) * noise, sigma)
        rows.append((estimate - x0).square().flatten(1).mean(1))
    return torch.stack(rows).double().cpu()


def _best_alternative(
    denoiser: Denoiser, x0: Tensor, noise: Tensor, sigmas: list[float], declared: Tensor
) -> tuple[str, float]:
    best = ("", math.inf)
    for name, alternative in denoiser.misreadings():
        ratios = _errors(alternative, x0, noise, sigmas).log() - declared.log()
        ratios = ratios.nan_to_num(nan=math.inf).mean(0)
        mean, spread = float(ratios.mean()), float(ratios.std(correction=1)) if len(x0) > 1 else 0.0
        quantile = float(stats.t.ppf(CONFIDENCE, max(1, len(x0) - 1)))
        if mean + quantile * spread / math.sqrt(len(x0)) < -MATERIAL:
            raise MisreadModelError(
                f"misread model: read as {name} it denoises real images better than as declared "
                f"(squared error {math.exp(mean):.2f} times as large, {len(x0)} images). Correct "
                "the scheduler's configuration; --no-self-check scans all the same, with an "
                "inconclusive verdict"
            )
        best = min(best, (name, mean), key=lambda pair: pair[1])
    return best


def _row(values: list[float]) -> str:
    return ", ".join(f"{value:.3g}" for value in values)

"""The self-check: is the network read the way it was trained?

Of a misread model nothing comes back, and a scan would miss what it memorized. Its reading is
tested on real images against every alternative, paired, before any verdict rests on it. Images of
both splits are used, without looking at which is which: an overfit model denoises held-out images
badly under the right reading, and at too high a time it would look better there.

A model of noisy copies is asked what it was trained for, the copy behind more noise (double
Tweedie): just above the noise of the copies its estimate of the clean image is free to be anything,
and if it memorized copies it is far off. Copies that stand beside it are asked for as well: unlike
the images of a scan, it is known to have seen them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter

import torch
from scipy import stats
from torch import Tensor

from memaudit.errors import MisreadModelError
from memaudit.models.ambient import MARGIN
from memaudit.models.denoiser import Denoiser, Told
from memaudit.models.rescaled import SCALED, rescaled

DECLARED = "as declared"
LEVELS = 4
LOWEST, HIGHEST = 0.3, 10.0  # at tiny sigma every reading looks alike
MATERIAL = math.log(1.05)  # an alternative must be this much better, beyond its interval
SCALES = math.log(3)  # another scale of the space, which unusual images favour a little, by this
CONFIDENCE = 0.999  # about ten alternatives are compared


@dataclass(frozen=True, eq=False)
class Frozen:
    """Noise sigma_n z in the images that a model was trained on; z [B, *shape] standard normal.

    `seen` [K, *shape] are noisy copies that it was trained on, of other images. `clean_below`: up
    to sigma_n it was trained on clean images, which are asked for if no copies are given. Without,
    no image taught it those levels, whether or not a consistency term did.
    """

    sigma_n: float
    noise: Tensor
    seen: Tensor | None = None
    clean_below: bool = False

    @property
    def lowest(self) -> float:
        """Noise below which there is nothing to ask for."""
        clean = self.clean_below and self.seen is None
        return 0.0 if clean else MARGIN * self.sigma_n

    def targets(self, x0: Tensor) -> Tensor:
        """The copies [B + K, *shape] to ask for: of the images x0 [B, *shape], and those seen."""
        copies = x0 + self.sigma_n * self.noise.to(x0)
        return copies if self.seen is None else torch.cat([copies, self.seen.to(x0)])


@dataclass(frozen=True)
class SelfCheck:
    """What the check saw: mean squared error per level, declared against trivial answers."""

    sigmas: tuple[float, ...]
    declared: tuple[float, ...]
    identity: tuple[float, ...]
    data_mean: float
    best_alternative: str
    # Mean log(MSE of the alternative / MSE declared), > 0 is good; None if none has finite answers.
    best_log_ratio: float | None
    images: int


@dataclass(frozen=True)
class Judged:
    """What the check saw, whether or not it refuses the declared reading.

    `trivial`: mean squared error per level of the best blend of the noisy input and the average
    image. `refusal` says why the reading is refused; "" where it passes.
    """

    check: SelfCheck
    trivial: tuple[float, ...]
    refusal: str = ""

    @property
    def passed(self) -> SelfCheck:
        """What the check saw; raises MisreadModelError where the reading is refused."""
        if self.refusal:
            raise MisreadModelError(self.refusal)
        return self.check


@dataclass(frozen=True)
class _Alternative:
    """Another reading: log(MSE of the alternative / MSE declared) and mean errors per level."""

    name: str
    log_ratio: float
    upper: float  # the bound of log_ratio at CONFIDENCE
    errors: list[float]

    @property
    def material(self) -> float:
        """By how much it must be better to count."""
        return SCALES if self.name in SCALED else MATERIAL


NOTHING = _Alternative("", math.inf, math.inf, [])  # where nothing is read


def self_check(
    denoiser: Denoiser,
    x0: Tensor,
    seed: int = 0,
    frozen: Frozen | None = None,
    batch_size: int = 32,
) -> SelfCheck:
    """Compare readings as `judge` does; raises MisreadModelError if the declared one is refused."""
    return judge(denoiser, x0, seed, frozen, batch_size).passed


@torch.inference_mode()
def judge(
    denoiser: Denoiser,
    x0: Tensor,
    seed: int = 0,
    frozen: Frozen | None = None,
    batch_size: int = 32,
) -> Judged:
    """Compare the declared reading with its alternatives on clean images x0 [B, *shape].

    `frozen` is the noise that a model of noisy copies saw, or would have seen, in these images.
    The reading is refused if an alternative is better beyond its interval, or if it nowhere beats a
    Wiener filter, the best blend of the noisy input and the average image (a network that predicts
    v and was never trained is such a blend, and beats both alone). Raises MisreadModelError where
    nothing can be compared: no level in the range, or answers that are not finite.
    """
    tasks = [_Task.at(sigma, x0, frozen) for sigma in _levels(denoiser, frozen)]
    images = len(tasks[0].target)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn((images, *x0.shape[1:]), generator=generator).to(x0)
    readings: dict[str, Told] = {DECLARED: denoiser, **dict(denoiser.misreadings())}
    if len(readings) > 1:  # something is read
        readings |= dict(rescaled(denoiser, x0))
    return _judge(_errors(readings, noise, tasks, batch_size), noise, tasks, _spread(x0))


def _judge(
    by_reading: Mapping[str, Tensor], noise: Tensor, tasks: list[_Task], data_mean: float
) -> Judged:
    """Refuse the declared reading, or not, and say how it stands to its best alternative."""
    sigmas, declared = [task.sigma for task in tasks], by_reading[DECLARED]
    if not declared.isfinite().all():
        raise MisreadModelError(
            "the model returns values that are not finite; check its weights and dtype"
        )
    identity = [task.added**2 * float(noise.square().mean()) for task in tasks]
    spread = [_spread(task.target) for task in tasks]
    blend = [s * error / (s + error) for s, error in zip(spread, identity, strict=True)]
    errors = declared.mean(1).tolist()
    alternatives = sorted(_compare(by_reading), key=attrgetter("log_ratio"))
    better = [a for a in alternatives if a.upper < -a.material and _useful(a.errors, blend)]
    refusal = ""
    if better:
        refusal = _misread(better[0], len(noise))
    elif not _useful(errors, blend):
        refusal = _useless(errors, blend, sigmas)
    best = next(iter([*better, *alternatives]), NOTHING)
    check = SelfCheck(
        sigmas=tuple(sigmas),
        declared=tuple(errors),
        identity=tuple(identity),
        data_mean=data_mean,
        best_alternative=best.name,
        best_log_ratio=best.log_ratio if math.isfinite(best.log_ratio) else None,
        images=len(noise),
    )
    return Judged(check, tuple(blend), refusal)


@dataclass(frozen=True, eq=False)
class _Task:
    """What is to be found at a level: the clean images, or copies that hold noise `held`."""

    sigma: float
    held: float
    target: Tensor

    @classmethod
    def at(cls, sigma: float, x0: Tensor, frozen: Frozen | None) -> _Task:
        if frozen is None or sigma < MARGIN * frozen.sigma_n:
            return cls(sigma, 0.0, x0)
        return cls(sigma, frozen.sigma_n, frozen.targets(x0))

    @property
    def added(self) -> float:
        """The noise that is added to the target to make it that of the level."""
        return math.sqrt(self.sigma**2 - self.held**2)

    def errors(self, reading: Told, noise: Tensor, rows: slice) -> Tensor:
        """Mean squared error of some rows of a reading's estimate of the target."""
        target = self.target[rows]
        x = target + self.added * noise[rows]
        h = reading.denoise(x, torch.full((len(x),), self.sigma, device=x.device))
        ratio = (self.held / self.sigma) ** 2
        return ((1 - ratio) * h + ratio * x - target).square().flatten(1).mean(1)


def _spread(images: Tensor) -> float:
    """Mean squared error of the average image [B, *shape]; of one image, of its average pixel."""
    return float(images.var(0).mean() if len(images) > 1 else images.var())


def _levels(denoiser: Denoiser, frozen: Frozen | None) -> list[float]:
    low = max(LOWEST, denoiser.sigma_min)
    if frozen is not None:
        low = max(low, frozen.lowest)
    high = min(HIGHEST, denoiser.sigma_max)
    if high < low:
        raise MisreadModelError(
            f"the model's noise range ({denoiser.sigma_min:.3g} .. {denoiser.sigma_max:.3g}) does "
            f"not reach the self-check's ({LOWEST} .. {HIGHEST}): its schedule is unusual or "
            "misread. --no-self-check scans all the same, with an inconclusive verdict"
        )
    step = (high / low) ** (1 / (LEVELS - 1))
    return [low * step**k for k in range(LEVELS)]


def _errors(
    readings: Mapping[str, Told], noise: Tensor, tasks: list[_Task], batch_size: int
) -> dict[str, Tensor]:
    """Mean squared error of each image under each reading: name -> [levels, B]."""
    rows: dict[str, list[Tensor]] = {name: [] for name in readings}
    batches = [slice(k, k + batch_size) for k in range(0, len(noise), batch_size)]
    for task in tasks:
        parts: dict[str, list[Tensor]] = {name: [] for name in readings}
        for batch in batches:  # the innermost asks one network the same, which may remember
            for name, reading in readings.items():
                parts[name].append(task.errors(reading, noise, batch))
        for name, of_batches in parts.items():
            rows[name].append(torch.cat(of_batches))
    return {name: torch.stack(levels).double().cpu() for name, levels in rows.items()}


def _compare(errors: Mapping[str, Tensor]) -> Iterator[_Alternative]:
    declared = errors[DECLARED]
    images = declared.shape[1]
    quantile = float(stats.t.ppf(CONFIDENCE, max(1, images - 1)))
    for name in errors.keys() - {DECLARED}:
        ratios = (errors[name].log() - declared.log()).nan_to_num(nan=math.inf).mean(0)
        mean = float(ratios.mean())
        spread = float(ratios.std(correction=1)) if images > 1 else math.inf
        upper = mean + quantile * spread / math.sqrt(images)
        yield _Alternative(name, mean, upper, errors[name].mean(1).tolist())


def _useful(errors: list[float], blend: list[float]) -> bool:
    return any(error < floor for error, floor in zip(errors, blend, strict=True))


def _misread(best: _Alternative, images: int) -> str:
    return (
        f"misread model: read as {best.name} it denoises real images better than as declared "
        f"(squared error {math.exp(best.log_ratio):.2f} times as large, {images} images). Correct "
        "its configuration (scheduler, scale of the VAE) or --distilled-guidance. If it is right, "
        "the model may be trained on other images and overfit: scan images that it saw, or leave "
        "its noisy copies beside it. "
        "--no-self-check scans all the same, with an inconclusive verdict"
    )


def _useless(errors: list[float], blend: list[float], sigmas: list[float]) -> str:
    return (
        "unsupported or misread model: on real images its prediction is no better than the best "
        "blend of the noisy input and the average image at any noise level "
        f"(MSE {_row(errors)} against {_row(blend)} at sigma {_row(sigmas)}). Check that the "
        "weights are trained and the scheduler is the one used in training; --no-self-check scans "
        "all the same, with an inconclusive verdict"
    )


def _row(values: list[float]) -> str:
    return ", ".join(f"{value:.3g}" for value in values)

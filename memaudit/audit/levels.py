"""Which noise levels a scan uses."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd
from torch import Tensor

from memaudit.config import OBJECT, AttackConfig, Hiding, Noise, Restoration
from memaudit.corruption.hiding import USUAL, automatic_shares, least_seen, share_of
from memaudit.corruption.noise import (
    identification_limit,
    levels_above,
    noise_grid,
    sigma_of_snr_db,
    snr_db,
    weak_grid,
)
from memaudit.errors import ConfigError
from memaudit.models.denoiser import Denoiser, Flows, Inpaints, in_pixels
from memaudit.run.record import Levels

ROUNDING = 1e-5  # levels are written with six digits, so the ends of a schedule may round outwards
ENOUGH = 2  # images from which a distance can be taken
WEAK_LEVELS = 2


@dataclass(frozen=True)
class Crowd:
    """Among how many images noise hides one: `members`, one of each duplicate group.

    `rivals` is among how many it hides the image that is easiest to tell apart: fewer where images
    were repeated or captions are told.
    """

    members: int
    rivals: float

    @classmethod
    def of(cls, rows: pd.DataFrame, told: bool) -> Crowd:
        """Count the rows of a pool, with split, group and prompt; `told`: captions are.

        Of the sides only their sizes enter: copies and captions are counted over the whole pool,
        so that the levels are the same whichever images are the members.
        """
        captions = rows["prompt"] if told else pd.Series("", rows.index)
        silent, by_caption = captions == "", captions.groupby(captions)
        alike = by_caption.transform("size").mask(silent, len(rows))
        of_group = captions.groupby(rows["group"]).transform("size")
        with_caption = captions.groupby([rows["group"], captions]).transform("size")
        copies = with_caption.mask(silent, of_group)
        members = rows["split"] == "member"
        share = max(2, members.sum()) / len(rows)  # of the images told alike, so many are members
        groups = rows.loc[members, "group"].nunique()
        return cls(groups, float(share * (alike / copies).min()))


def choose_levels(
    noise: Noise,
    denoiser: Denoiser,
    images: Tensor,
    crowd: Crowd,
    reference: Denoiser | None = None,
) -> Levels:
    """Resolve the noise levels for a model and a sample `images` [P, C, H, W] of the pool.

    Raises ConfigError if no level lies in the model's range, and in that of a reference model.
    """
    limit = limit_of(images, crowd.members)
    if noise.automatic:
        wanted = _automatic(limit, noise.levels, crowd)
    else:
        wanted = explicit_levels(noise, denoiser)
    inside, outside = within_range(denoiser, sorted(set(wanted)))
    if not inside:
        raise ConfigError(
            f"none of the noise levels (sigma {_row(outside)}) lies in the model's range "
            f"{denoiser.sigma_min:.4g} .. {denoiser.sigma_max:.4g}; give --sigma, --snr-db "
            f"({snr_db(denoiser.sigma_max):.1f} .. {snr_db(denoiser.sigma_min):.1f}) or --timestep"
        )
    if reference is not None:
        inside, beyond = within_range(reference, inside)
        outside = sorted([*outside, *beyond])
        if not inside:
            raise ConfigError(
                f"none of the model's noise levels (sigma {_row(beyond)}) lies in the range of the "
                f"reference, {reference.sigma_min:.4g} .. {reference.sigma_max:.4g}; give --sigma "
                "in both"
            )
    return Levels(tuple(inside), tuple(outside), limit)


def choose_weak_levels(noise: Noise, denoiser: Denoiser, limit: float | None) -> tuple[float, ...]:
    """Resolve the levels of attacks that work with weak noise, as `choose_levels` does the others.

    `limit` is the identification limit of the pool. Raises ConfigError if no level lies in the
    model's range.
    """
    if noise.weak_sigmas:
        wanted = [float(f"{sigma:.6g}") for sigma in noise.weak_sigmas]
    elif limit is None:
        raise ConfigError(
            "the noise levels of --attacks are derived from the distances between images, and "
            "there are fewer than two different ones; give --membership-sigma, or --attacks none"
        )
    else:
        wanted = [*weak_grid(limit, WEAK_LEVELS, denoiser.sigma_min), *_middle(denoiser)]
    inside, _ = within_range(denoiser, sorted(set(wanted)))
    if not inside:
        raise ConfigError(
            f"none of the weak noise levels (sigma {_row(wanted)}) lies in the model's range "
            f"{denoiser.sigma_min:.4g} .. {denoiser.sigma_max:.4g}; give --membership-sigma"
        )
    return tuple(inside)


def _middle(denoiser: Denoiser) -> list[float]:
    """The noise that a flow knows best, whatever the pool: there it shows what it was trained on.

    Large latents have a limit far above it.
    """
    middle = denoiser.middle if isinstance(denoiser, Flows) else None
    return [] if middle is None else [middle]


def choose_hidden(
    config: AttackConfig,
    denoiser: Denoiser,
    limit: float | None = math.inf,
    of_objects: float = USUAL,
) -> dict[str, tuple[float, ...]]:
    """How much is hidden of images by each attack that does, by its name.

    Where the shares are not given, no more than leaves enough to see (`least_seen`), by the
    identification limit of the pool; as many shares as can be where that is not known yet. Objects
    hide `of_objects` by the median.
    Raises ConfigError where a model's space does not let it, or the size of its images.
    """
    if config.restoration.as_a_pipeline and not isinstance(denoiser, Inpaints):
        raise ConfigError(
            "--guidance and --inpainting-strength are for pipelines for inpainting, and this model "
            "is none; leave them out"
        )
    return {
        one.attack: (of_objects,)
        if one.kind == OBJECT
        else tuple(_shares_of(one, config.restoration, denoiser, limit))
        for one in config.hidings
    }


def _shares_of(
    one: Hiding, asked: Restoration, denoiser: Denoiser, limit: float | None
) -> list[float]:
    """The shares that one kind hides, ascending."""
    _, height, width = denoiser.shape
    if one.kind in ("downsample", "blur") and denoiser.mask is not None:
        raise ConfigError(
            f"--corruption {one.kind} cannot be asked of a network of masked images, which sees "
            "what its mask shows alone; give one of the masks"
        )
    if one.kind in ("downsample", "blur") and not in_pixels(denoiser):
        raise ConfigError(
            f"--corruption {one.kind} is for models of pixels, and this one works on latents of a "
            "VAE; give one of the masks"
        )
    if not one.strengths:
        least = least_seen(limit, asked.sigma_of(one.kind))
        return automatic_shares(one.kind, asked.levels, (height, width), least)
    given = {share_of(one.kind, strength, (height, width)) for strength in one.strengths}
    return sorted(given)


def _row(sigmas: list[float]) -> str:
    return ", ".join(f"{sigma:.4g}" for sigma in sigmas)


def limit_of(images: Tensor, members: int) -> float | None:
    """The identification limit of a pool; None where there are too few images to tell."""
    if len(images) < ENOUGH:
        return None
    return identification_limit(images.flatten(1).cpu().numpy(), members) or None


def _automatic(limit: float | None, levels: int, crowd: Crowd) -> list[float]:
    if limit is None:
        raise ConfigError(
            "noise levels are derived from the distances between images, and there are fewer than "
            "two different ones; give --sigma"
        )
    return [*noise_grid(limit, levels), *levels_above(limit, crowd.members, crowd.rivals)]


def explicit_levels(noise: Noise, denoiser: Denoiser) -> list[float]:
    """Turn explicit sigmas, SNRs or time steps into sigmas of six significant digits."""
    sigmas = [
        *noise.sigmas,
        *(sigma_of_snr_db(snr) for snr in noise.snr_db),
        *(denoiser.sigma_of_timestep(t) for t in noise.timesteps),
    ]
    return [float(f"{sigma:.6g}") for sigma in sigmas]


def within_range(denoiser: Denoiser, sigmas: list[float]) -> tuple[list[float], list[float]]:
    """-> the levels the model was trained on, and those it was not."""
    low, high = denoiser.sigma_min * (1 - ROUNDING), denoiser.sigma_max * (1 + ROUNDING)
    inside = [s for s in sigmas if low <= s <= high]
    return inside, [s for s in sigmas if s not in inside]

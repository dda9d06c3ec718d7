"""What may be hidden of an image before the model is asked for it, and how much of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from memaudit.config.fields import check, option
from memaudit.errors import ConfigError

NOISE = "noise"  # of --corruption: what reconstructions are asked under
HidingKind = Literal[
    "mask-random", "mask-box", "mask-half", "mask-object", "noise+mask", "downsample", "blur"
]
# What the attacks that restore such images are called.
RESTORATIONS: dict[HidingKind, str] = {
    kind: f"restoration-{kind.replace('+', '-')}" for kind in get_args(HidingKind)
}
BY_SHARE = ("mask-random", "mask-box", "noise+mask")  # whose strength is the share that is hidden
NOISE_AND_MASK: HidingKind = "noise+mask"
OBJECT: HidingKind = "mask-object"
WIDEST = 1e4  # pixels, of a blur
STRENGTHS: dict[HidingKind, str] = {
    "mask-random": "the share of the pixels that it hides, between 0 and 1",
    "mask-box": "the share of the image that it hides, between 0 and 1",
    "mask-half": "no number, for it hides a half",
    "mask-object": "no number, for it hides what a file of boxes names",
    "noise+mask": "the share of the pixels that it hides, between 0 and 1",
    "downsample": "the factor by which the sides become smaller, a whole number from 2 on",
    "blur": "the standard deviation of the blur in pixels, above 0",
}


@dataclass(frozen=True)
class Restoration:
    """How images are restored of which a mask, a blur or a smaller size leaves a part."""

    levels: int = option(
        3,
        "Number of shares that --corruption hides where it gives none.",
        name="hidden_levels",
        low=1,
    )
    draws: int = option(
        2,
        "How often each image is hidden and restored at each of them.",
        low=1,
        name="hidden_draws",
    )
    steps: int = option(
        20, "Steps of the sampling that restores a hidden part.", low=1, name="restoration_steps"
    )
    corrections: int = option(
        1,
        "How exactly each of these steps fits what was seen; one more costs two calls of the "
        "network a step.",
        name="restoration_corrections",
        low=1,
    )
    seen_sigma: float = option(
        0.1,
        "Noise on what is left to see, for images in [-1, 1]: without any, one pixel would tell "
        "which image it is of.",
        low=0.001,
        high=100,
    )
    masked_sigma: float = option(
        0.5,
        "The same of --corruption noise+mask, which covers what its mask leaves with noise: by "
        "default with about as much as there is picture.",
        low=0.001,
        high=100,
    )
    largest: float = option(
        0.5,
        "Of --corruption mask-object: boxes that hide more of an image are left out, and counted.",
        low=0,
        high=0.95,
        name="largest_box",
    )
    smallest: float = option(
        0.01,
        "Of --corruption mask-object: boxes that hide less of an image are left out, and counted.",
        low=0,
        high=0.95,
        name="smallest_box",
    )
    guidance: float = option(
        1.0,
        "Of an inpainting pipeline that is told captions: how far its answer is drawn to them. 1 "
        "is the network as it was trained; the published attack took 8, which asks it twice a "
        "step.",
        low=0,
        high=100,
    )
    strength: float = option(
        1.0,
        "Of an inpainting pipeline: the share of its noise from which the sampling begins. Below 1 "
        "it begins with the image itself under that noise, as the pipelines of diffusers do, so "
        "that a trace of the hidden part is seen. The published attack took .99.",
        low=0,
        high=1,
        name="inpainting_strength",
    )

    @property
    def as_a_pipeline(self) -> bool:
        """Whether the options of an inpainting pipeline are others than by default."""
        return self.guidance != 1 or self.strength != 1

    def sigma_of(self, kind: HidingKind) -> float:
        """The noise on what a kind leaves to see."""
        return self.masked_sigma if kind == NOISE_AND_MASK else self.seen_sigma

    def __post_init__(self) -> None:
        check(self)
        if self.smallest >= self.largest:
            raise ConfigError(
                f"--smallest-box is {self.smallest:g} and --largest-box {self.largest:g}; expected "
                "the first to be the smaller"
            )


@dataclass(frozen=True)
class Hiding:
    """One way to hide, with the strengths that were given, in the units of STRENGTHS."""

    kind: HidingKind
    strengths: tuple[float, ...] = ()

    @property
    def attack(self) -> str:
        """The attack that restores what it hides."""
        return RESTORATIONS[self.kind]


def hidings_in(corruptions: tuple[str, ...]) -> tuple[Hiding, ...]:
    """What is hidden, by the words of --corruption, in their order; noise is left out.

    Raises ConfigError for a word that is none, and for a kind with strengths and without.
    """
    found: dict[HidingKind, list[float]] = {}
    for word in corruptions:
        if word != NOISE:
            kind, strength = _parsed(word)
            if kind in found and (strength is None or not found[kind]):
                raise ConfigError(
                    f"--corruption names {kind} with a strength and without; give strengths, or "
                    f"{kind} alone, whose strengths are derived from the images"
                )
            found.setdefault(kind, []).extend([] if strength is None else [strength])
    return tuple(Hiding(kind, tuple(sorted(given))) for kind, given in found.items())


def first_of(corruptions: tuple[str, ...]) -> str:
    """The word of the first corruption, without its strength."""
    return corruptions[0].partition(":")[0]


def refuse_unheeded(hidings: tuple[Hiding, ...], asked: Restoration) -> None:
    """Raise ConfigError for options that nothing heeds of what is hidden."""
    plain = Restoration()
    if asked.levels != plain.levels and all(map(_settled, hidings)):
        raise ConfigError(
            "--hidden-levels is for what --corruption hides without a strength; found "
            f"{', '.join(map(_settled, hidings))}; leave it out, or name a kind whose strengths "
            "are to be derived from the images"
        )
    kinds = {one.kind for one in hidings}
    if asked.masked_sigma != plain.masked_sigma and NOISE_AND_MASK not in kinds:
        raise ConfigError(
            f"--masked-sigma is for --corruption {NOISE_AND_MASK}, found "
            f"{', '.join(sorted(kinds))}; give --seen-sigma, or leave it out"
        )
    if asked.seen_sigma != plain.seen_sigma and kinds == {NOISE_AND_MASK}:
        raise ConfigError(
            f"--seen-sigma is for what is hidden otherwise than by {NOISE_AND_MASK}, found that "
            "alone; give --masked-sigma, or leave it out"
        )
    if asked.as_a_pipeline and kinds == {NOISE_AND_MASK}:
        raise ConfigError(
            f"--guidance and --inpainting-strength are not for {NOISE_AND_MASK}, of which a "
            "pipeline for inpainting is not told; leave them out"
        )
    limits = asked.largest, asked.smallest
    if limits != (plain.largest, plain.smallest) and OBJECT not in kinds:
        raise ConfigError(
            f"--largest-box and --smallest-box are for --corruption {OBJECT}, found "
            f"{', '.join(sorted(kinds))}; leave them out"
        )


def _settled(one: Hiding) -> str:
    """What says how much is hidden, so that no number of levels is asked for; empty if nothing."""
    if one.kind == "mask-half":
        return "mask-half, which hides a half"
    if one.kind == OBJECT:
        return f"{OBJECT}, which hides what a file of boxes names"
    return ", ".join(f"{one.kind}:{strength:g}" for strength in one.strengths)


def _parsed(word: str) -> tuple[HidingKind, float | None]:
    name, colon, text = word.partition(":")
    if name not in RESTORATIONS:
        known = ", ".join((NOISE, *RESTORATIONS))
        raise ConfigError(f"--corruption {word} is not known; give one of {known}")
    if not colon:
        return name, None
    strength = _number(text)
    if not _fits(name, strength):
        wanted = f"{name} takes" if name in ("mask-half", OBJECT) else f"after {name}: comes"
        raise ConfigError(f"--corruption {word} cannot be: {wanted} {STRENGTHS[name]}")
    return name, strength


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _fits(kind: HidingKind, strength: float) -> bool:
    if kind in ("mask-half", OBJECT):
        return False
    if kind in BY_SHARE:
        return 0 < strength < 1
    if kind == "downsample":
        return strength >= 2 and strength.is_integer()
    return 0 < strength <= WIDEST

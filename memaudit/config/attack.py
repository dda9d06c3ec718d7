"""What is asked of a model, of which corrupted images, and what is pooled of its answers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from memaudit.config.checks import CLOSED_FORM
from memaudit.config.fields import check, option, own_options
from memaudit.config.hiding import (
    NOISE,
    RESTORATIONS,
    Hiding,
    Restoration,
    first_of,
    hidings_in,
    refuse_unheeded,
)
from memaudit.errors import ConfigError

Reconstruction = Literal["ode", "one-step", "sample"]
# What the attacks that reconstruct so are called.
RECONSTRUCTIONS: dict[Reconstruction, str] = {
    mode: f"reconstruction-{mode}" for mode in get_args(Reconstruction)
}
Sampler = Literal["euler", "heun", "dpmpp-2m"]
PromptPolicy = Literal["own", "empty", "other"]
# What is pooled into the one score of an image: how near its source is to the embedder, at the
# worst tile, and in pixels beside its rivals. Chosen on models whose memorized images are known.
SCORE = ("margin", "tile_l2", "l2_ratio")
MEMBERSHIP = "mirrored-residual"  # the strongest of them, on models whose images are known
ADAPTIVE_FROM = 2000  # images: fewer are soon scanned in full
NO_ATTACK = "none"  # of --attacks: none beside reconstruction
BESIDE, NO_COPIES = "beside", "none"  # of --noisy-copies: those beside the model; none
UNRELATED = "unrelated"  # of --reference-trained-on: images that are in neither data set
REFERENCE_SCORE = ("similarity_gain",)  # is pooled too where there is a reference model


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Gaussian noise: its levels and how often each is drawn.

    `sigmas`, `snr_db` and `timesteps` are explicit levels, one kind at a time; without them the
    levels are a log grid of `levels` points in 0.03 .. 0.6 of the identification limit, and up to
    two above it where images are repeated often or captions tell them apart.
    """

    sigmas: tuple[float, ...] = option(
        (),
        "Noise levels: standard deviation of the noise, for images in [-1, 1].",
        name="sigma",
        low=0,
        open_=True,
    )
    snr_db: tuple[float, ...] = option((), "Noise levels: -20 log10 of sigma, in dB.")
    timesteps: tuple[int, ...] = option(
        (),
        "Noise levels: steps of the model's own schedule, from 0.",
        name="timestep",
        low=0,
    )
    levels: int = option(
        5,
        "Number of noise levels, where none is given; captions, and images that are repeated "
        "often, add up to two above them.",
        low=1,
    )
    draws: int = option(4, "How often each image is corrupted at each level.", low=1)
    weak_sigmas: tuple[float, ...] = option(
        (),
        "Weak noise levels of the attacks on membership; default: 2 of them, from the distances "
        "between the images.",
        name="membership_sigma",
        low=0,
        open_=True,
    )
    weak_draws: int = option(
        2,
        "How often each image is corrupted at each of those.",
        name="membership_draws",
        low=1,
    )

    def __post_init__(self) -> None:
        given = [bool(self.sigmas), bool(self.snr_db), bool(self.timesteps)]
        if sum(given) > 1:
            raise ConfigError("give noise levels as --sigma, --snr-db or --timestep, not several")
        check(self)

    @property
    def automatic(self) -> bool:
        """Whether the levels are derived from the data."""
        return not (self.sigmas or self.snr_db or self.timesteps)


OF_NOISE = ("sigmas", "snr_db", "timesteps", "levels", "draws")
OF_RECONSTRUCTION = ("reconstruct", "sampler", "steps")


@dataclass(frozen=True, kw_only=True)
class AttackConfig:
    """What is asked of the model, of which images, and what is pooled of its answers."""

    corruptions: tuple[str, ...] = option(
        (NOISE,),
        "What is done to an image before the model is asked for it: noise, mask-random, mask-box, "
        "mask-half, mask-object, noise+mask, downsample or blur. A strength may follow: "
        "mask-random:.9, mask-box:.5 and noise+mask:.9 hide that share of the image, downsample:4 "
        "leaves a quarter of each side, blur:3 has a standard deviation of 3 pixels; without one "
        "the strengths are derived from the images. "
        "The verdict rests on the first that is named; the others have rows in the scores and "
        "tables.",
        name="corruption",
        metavar="KIND[:STRENGTH],...",
    )
    noise: Noise = field(default_factory=Noise)
    restoration: Restoration = field(default_factory=Restoration)
    reconstruct: tuple[Reconstruction, ...] = option(
        ("ode",),
        "ode: deterministic sampling; one-step: the posterior mean; sample: stochastic "
        "sampling. Several at once are scored apart.",
    )
    sampler: Sampler = option("euler", "Solver under --reconstruct ode.")
    steps: int = option(10, "Steps of the solver, or of the stochastic sampling.", low=1)
    attacks: tuple[str, ...] = option(
        (MEMBERSHIP,),
        "Attacks beside those that bring images back. The claim of membership rests on the first "
        "of them that is evidence of it; the others have rows in the scores and in the tables, and "
        "no part in the verdict. none: reproduction alone.",
        also="attack",
        metavar="NAME,...",
    )
    prompt: PromptPolicy = option(
        "own",
        "What a text-to-image model is told of each image: its own caption, nothing, or the "
        "caption of another image.",
    )
    noisy_copies: str | None = option(
        None,
        "Of a model of noisy data: the folder of the noisy copies it was trained on, which "
        "are corrupted too; none leaves them out. Default: those beside the model, if any.",
        metavar="DIR",
        flag_value=BESIDE,
        path=True,
    )
    reference: str | None = option(
        None,
        "A model that brings the same corrupted images back; the score is how much nearer "
        "MODEL comes to the image than it.",
        metavar="MODEL",
        path=True,
    )
    reference_trained_on: str | None = option(
        None,
        "What the reference was trained on: images that are compared with both data sets, or "
        "unrelated, by your word.",
        metavar="DATASET|unrelated",
        path=True,
    )
    embedder: str = option(
        "sscd",
        "What measures similarity: sscd[:file], sscd-distilled[:file], "
        "open_clip:MODEL/TAG-OR-FILE, dinov2:FOLDER, pixels, or the name of a plug-in.",
    )
    score: tuple[str, ...] = option(
        SCORE, "The columns that are pooled into the score of an image.", hidden=True
    )
    adaptive: bool | None = option(
        None,
        "Ask all images two cheap questions, and bring back only those that stand out, in few "
        "steps, under noise at the weaker half of its levels; or scan all images in full. Default: "
        f"adaptive from {ADAPTIVE_FROM:,} members and controls together on.",
        opposite="full",
    )
    fraction: float = option(
        0.1,
        "Part of all images that --adaptive asks to bring back; more, if more stand out.",
        low=0,
        high=1,
        open_=True,
    )
    seed: int = option(0, "Seed of all noise and of --sample.", low=0)

    def __post_init__(self) -> None:
        if not self.reconstruct:
            raise ConfigError(f"--reconstruct needs one of {', '.join(get_args(Reconstruction))}")
        if len(set(self.reconstruct)) < len(self.reconstruct):
            raise ConfigError(f"--reconstruct names a mode twice: {', '.join(self.reconstruct)}")
        check(self)
        self._check_attacks()
        self._check_corruptions()
        if self.reference == CLOSED_FORM:
            raise ConfigError(f"{CLOSED_FORM} needs the path of the images to memorize")
        if (self.reference is None) != (self.reference_trained_on is None):
            raise ConfigError(
                "--reference and --reference-trained-on go together: a reference that saw the "
                "controls makes any model look like a memorizer, so say what it was trained on, a "
                f"path or {UNRELATED}"
            )

    def _check_attacks(self) -> None:
        names = self.attacks
        if len(set(names)) < len(names):
            raise ConfigError(f"--attacks names an attack twice: {', '.join(names)}")
        if NO_ATTACK in names and len(names) > 1:
            raise ConfigError(
                f"--attacks {','.join(names)} names attacks and {NO_ATTACK}; give either"
            )
        for mode, name in RECONSTRUCTIONS.items():
            if name in names:
                raise ConfigError(
                    f"--attacks {name} is asked for by --reconstruct {mode}; leave it out of "
                    "--attacks"
                )
        for kind, name in RESTORATIONS.items():
            if name in names:
                raise ConfigError(
                    f"--attacks {name} is asked for by --corruption {kind}; leave it out of "
                    "--attacks"
                )

    def _check_corruptions(self) -> None:
        given = self.corruptions
        if not given:
            raise ConfigError("--corruption needs noise, or what is hidden; found nothing")
        if len(set(given)) < len(given):
            raise ConfigError(f"--corruption names one twice: {', '.join(given)}")
        hidings_in(given)
        if self.restoration.guidance != 1 and self.prompt == "empty":
            raise ConfigError(
                "--guidance draws an answer to its caption, and --prompt empty tells none; leave "
                "out one of them"
            )
        if self.rests_on != NOISE and self.noisy_copies not in (None, NO_COPIES):
            raise ConfigError(
                "--noisy-copies are asked about under noise; name noise first in --corruption, or "
                "leave them out"
            )

    def refuse_unused(self) -> None:
        """Raise ConfigError for options of a corruption that is not asked for."""
        if not self.with_noise:
            unused = {name for name in OF_NOISE if _given(self.noise, name)}
            unused |= {name for name in OF_RECONSTRUCTION if _given(self, name)}
            if unused:
                raise ConfigError(
                    f"{_flags(unused)} belong to noise, which --corruption does not name; add it, "
                    "or leave them out"
                )
        if not self.hidings and self.restoration != Restoration():
            raise ConfigError(
                f"{_flags(_others(self.restoration), Restoration)} belong to what is hidden, and "
                "--corruption hides nothing; name what it hides, or leave them out"
            )
        if self.hidings:
            refuse_unheeded(self.hidings, self.restoration)

    @property
    def hidings(self) -> tuple[Hiding, ...]:
        """What is hidden of images, in the order of --corruption."""
        return hidings_in(self.corruptions)

    @property
    def with_noise(self) -> bool:
        """Whether images are reconstructed from noise."""
        return NOISE in self.corruptions

    @property
    def rests_on(self) -> str:
        """The corruption that the claim of reproduction rests on."""
        return first_of(self.corruptions)

    def settled(self, images: int) -> AttackConfig:
        """The same, with the way to scan so many images decided."""
        return self if self.adaptive is not None else self.done(adaptive=images >= ADAPTIVE_FROM)

    def done(self, *, adaptive: bool) -> AttackConfig:
        """The same as it was done: what was to be adaptive may have been done in full."""
        return replace(self, adaptive=adaptive)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of scores that are pooled."""
        return self.score if self.reference is None else (*self.score, *REFERENCE_SCORE)


def _given(config: AttackConfig | Noise | Restoration, name: str) -> bool:
    """Whether an option has another value than its default."""
    return bool(getattr(config, name) != getattr(type(config), name))


def _others(config: Restoration) -> set[str]:
    """The options that have another value than their default."""
    return {one.field.name for one in own_options(Restoration) if _given(config, one.field.name)}


def _flags(names: set[str], *parts: type) -> str:
    parts = parts or (Noise, AttackConfig)
    known = {one.field.name: one.flag for part in parts for one in own_options(part)}
    return ", ".join(sorted(known[name] for name in names))

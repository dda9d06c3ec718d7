"""What is done with each image: the full passes of a scan, and cheap first passes before them."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace

from memaudit.attacks.base import Attack, Grid, Grids, Noise, Pass
from memaudit.attacks.mirrored import NAME as MIRRORED
from memaudit.attacks.reconstruction import ode, one_step, preferred
from memaudit.attacks.registry import load_attack
from memaudit.config import NO_ATTACK, NOISE, RECONSTRUCTIONS, AttackConfig
from memaudit.errors import ConfigError
from memaudit.models.denoiser import Conditioning
from memaudit.records import FULL, SCREEN, Column, Primary

FEW_STEPS = 3
FEW_TO_RESTORE = 8  # steps, of what a mask or a blur hides
COPY_COLUMNS = ("copy_correlation",)  # what is pooled of noisy copies


def attacks_of(config: AttackConfig) -> tuple[Attack, ...]:
    """The attacks that are asked for: reconstructions, then those beside them."""
    names = [*_of_corruptions(config), *config.attacks]
    return tuple(load_attack(name, config) for name in names if name != NO_ATTACK)


def _of_corruptions(config: AttackConfig) -> list[str]:
    """The attacks that bring corrupted images back, those of the first corruption first."""
    made = [RECONSTRUCTIONS[mode] for mode in config.reconstruct] if config.with_noise else []
    hidden = [one.attack for one in config.hidings]
    return [*made, *hidden] if config.rests_on == NOISE else [*hidden, *made]


def with_noise(config: AttackConfig, noise: Noise) -> bool:
    """Whether any of them works with such noise."""
    return any(attack.noise == noise for attack in attacks_of(config))


def refuse_unfit(config: AttackConfig, conditioning: Conditioning) -> None:
    """Raise ConfigError for an attack that cannot ask a model that is told so much."""
    for attack in attacks_of(config):
        if attack.needs_captions and conditioning != "caption":
            raise ConfigError(
                f"the attack {attack.name} is for text-to-image models, and this one is told no "
                "captions; leave it out of --attacks"
            )


def check_attacks(config: AttackConfig) -> None:
    """Find all attacks that are asked for, and what is pooled of each; needs no model and no data.

    Raises ConfigError for an unknown attack or column, and for options that no attack would heed,
    DependencyError for an attack that cannot be imported.
    """
    config.refuse_unused()
    for attack in attacks_of(config):
        pooled(attack)


def claims_of(config: AttackConfig) -> tuple[Attack, ...]:
    """The attacks that the claims rest on: that of reproduction, and the first on membership.

    Reproduction rests on what brings images back from the first corruption.
    """
    attacks = {attack.name: attack for attack in attacks_of(config)}
    chief = attacks[_chief(config, attacks)]
    others = (attack for name, attack in attacks.items() if name in config.attacks)
    membership = next((one for one in others if one.claim == "membership"), None)
    return (chief,) if membership is None else (chief, membership)


def _chief(config: AttackConfig, names: Collection[str]) -> str:
    return preferred(names) if config.rests_on == NOISE else config.hidings[0].attack


def pooled(attack: Attack) -> Primary:
    """The score of an attack by itself; of copies by its columns for them, if it has such.

    Raises ConfigError for a column that it does not have.
    """
    known = {column.name for column in attack.columns}
    of_copies = COPY_COLUMNS if known.issuperset(COPY_COLUMNS) else attack.primary
    of = _columns(attack, attack.primary), _columns(attack, of_copies)
    return Primary(attack.name, *of, claim=attack.claim, hides=attack.noise == "hidden")


def _columns(attack: Attack, names: tuple[str, ...]) -> tuple[Column, ...]:
    known = {column.name: column for column in attack.columns}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError(
            f"the attack {attack.name} has no column {', '.join(unknown)}; it has "
            f"{', '.join(known)}"
        )
    return tuple(known[name] for name in names)


def full_passes(config: AttackConfig, grids: Grids) -> tuple[Pass, ...]:
    """All that is asked of an image, each attack at every level and draw of its own.

    Of an adaptive scan: all that is asked of a promoted image, which is reconstructed in few steps
    at the weaker half of the levels. For the same price more steps or levels take fewer draws, and
    what few draws say differs more from one scan to the next.
    """
    noise, paired = config.noise, config.reference is not None
    draws = {
        "strong": noise.draws,
        "weak": noise.weak_draws,
        "hidden": config.restoration.draws,
    }
    if config.adaptive:
        grids, config = replace(grids, strong=_weaker(grids.strong)), in_few_steps(config)
    return tuple(
        Pass(attack, FULL, grids.of(attack), draws[attack.noise], paired)
        for attack in attacks_of(config)
    )


def claim_passes(config: AttackConfig, grids: Grids) -> tuple[Pass, ...]:
    """The full passes that the claims rest on, that of reconstruction first."""
    by_name = {how.attack.name: how for how in full_passes(config, grids)}
    return tuple(by_name[attack.name] for attack in claims_of(config))


def first_passes(config: AttackConfig, grids: Grids) -> tuple[Pass, ...]:
    """The first pass of an adaptive scan: one draw of what tells images apart at the least cost.

    Where membership rests on the mirrored residual, that at its weakest noise, which depends little
    on how hard a picture is, and one step of reconstruction at one level. Else few steps of
    reconstruction: one step alone would miss what full sampling detects in models of noisy data.
    Where a part of the images is hidden, that part at its least share is restored in few steps.
    """
    paired, strong = config.reference is not None, _weaker(grids.strong)
    mirrored = next((one for one in claims_of(config) if one.name == MIRRORED), None)
    if config.rests_on != NOISE:
        chief = claims_of(in_few_steps(config))[0]
        least = grids.of(chief).at(grids.of(chief).levels[:1])
        known = () if mirrored is None else (_of_weakest(mirrored, grids),)
        return (*known, Pass(chief, SCREEN, least, 1, paired))
    if mirrored is None:
        return (Pass(ode(in_few_steps(config)), SCREEN, strong, 1, paired),)
    upper = strong.at(tuple(sorted({*_half(grids.strong.levels)[-1:], *strong.copies[-1:]})))
    return (
        _of_weakest(mirrored, grids),
        Pass(one_step(config), SCREEN, upper, 1, paired),
    )


def _of_weakest(mirrored: Attack, grids: Grids) -> Pass:
    return Pass(mirrored, SCREEN, grids.weak.at(grids.weak.levels[:1]), 1)


def asked_of_all(config: AttackConfig, grids: Grids) -> tuple[Pass, ...]:
    """What an adaptive scan asks of all images beside its first pass: whatever membership rests on.

    Nothing if that is in the first pass.
    """
    first = {how.attack.name for how in first_passes(config, grids)}
    return tuple(how for how in claim_passes(config, grids)[1:] if how.attack.name not in first)


def steps_of(config: AttackConfig) -> int:
    """The steps in which an image that is scanned in full is brought back."""
    done = in_few_steps(config) if config.adaptive else config
    return done.steps if config.rests_on == NOISE else done.restoration.steps


def in_few_steps(config: AttackConfig) -> AttackConfig:
    """As the promoted images of an adaptive scan are reconstructed."""
    few = min(config.restoration.steps, FEW_TO_RESTORE)
    if config.with_noise:
        config = replace(config, steps=min(config.steps, FEW_STEPS))
    if config.hidings:
        config = replace(config, restoration=replace(config.restoration, steps=few))
    return config


def _weaker(grid: Grid) -> Grid:
    """The weaker half of the levels, and of those of noisy copies.

    What comes back as a copy from strong noise does from weaker noise, too, and of the rest little
    comes back from strong noise.
    """
    kept = {*_half(grid.levels), *_half(grid.copies)}
    return grid.at(tuple(sigma for sigma in grid.levels if sigma in kept))


def _half(sigmas: tuple[float, ...]) -> tuple[float, ...]:
    return sigmas[: math.ceil(len(sigmas) / 2)]

"""What is done with each image: the full passes of a scan, and cheap first passes before them."""

from __future__ import annotations

from dataclasses import replace

from memaudit.attacks.base import Attack, Grids, Pass
from memaudit.attacks.reconstruction import ode, one_step, preferred
from memaudit.attacks.registry import load_attack
from memaudit.config import NO_ATTACK, RECONSTRUCTIONS, AttackConfig
from memaudit.errors import ConfigError
from memaudit.models.denoiser import Conditioning
from memaudit.records import FULL, SCREEN, Column, Primary

FEW_STEPS = 3
COPY_COLUMNS = ("copy_correlation",)  # what is pooled of noisy copies


def attacks_of(config: AttackConfig) -> tuple[Attack, ...]:
    """The attacks that are asked for: reconstructions, then those beside them."""
    names = [*(RECONSTRUCTIONS[mode] for mode in config.reconstruct), *config.attacks]
    return tuple(load_attack(name, config) for name in names if name != NO_ATTACK)


def with_weak_noise(config: AttackConfig) -> bool:
    """Whether any of them works with weak noise."""
    return any(attack.noise == "weak" for attack in attacks_of(config))


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

    Raises ConfigError for an unknown attack or column, DependencyError for an attack that cannot be
    imported.
    """
    for attack in attacks_of(config):
        pooled(attack)


def claims_of(config: AttackConfig) -> tuple[Attack, ...]:
    """The attacks that the claims rest on: reconstruction, and the first on membership, if any."""
    attacks = {attack.name: attack for attack in attacks_of(config)}
    chief = attacks[preferred(attacks)]
    others = (attack for name, attack in attacks.items() if name in config.attacks)
    membership = next((one for one in others if one.claim == "membership"), None)
    return (chief,) if membership is None else (chief, membership)


def pooled(attack: Attack) -> Primary:
    """The score of an attack by itself; of copies by its columns for them, if it has such.

    Raises ConfigError for a column that it does not have.
    """
    known = {column.name for column in attack.columns}
    of_copies = COPY_COLUMNS if known.issuperset(COPY_COLUMNS) else attack.primary
    of = _columns(attack, attack.primary), _columns(attack, of_copies)
    return Primary(attack.name, *of, claim=attack.claim)


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
    """All that was asked for, each attack at every level and draw of its own."""
    corruption, paired = config.corruption, config.reference is not None
    draws = {"strong": corruption.draws, "weak": corruption.weak_draws}
    return tuple(
        Pass(attack, FULL, grids.of(attack.noise), draws[attack.noise], paired)
        for attack in attacks_of(config)
    )


def claim_passes(config: AttackConfig, grids: Grids) -> tuple[Pass, ...]:
    """The full passes that the claims rest on, that of reconstruction first."""
    by_name = {how.attack.name: how for how in full_passes(config, grids)}
    return tuple(by_name[attack.name] for attack in claims_of(config))


def screens(config: AttackConfig, grids: Grids) -> tuple[Pass, ...]:
    """First passes of an adaptive scan, cheapest first: one draw each.

    One step at every level; or, because one step misses what full sampling detects in models that
    were trained on noisy data, few steps at every other level.
    """
    paired, grid = config.reference is not None, grids.strong
    half = grid.at(grid.sigmas[1::2] or grid.sigmas)
    few = replace(config, steps=FEW_STEPS)
    return (
        Pass(one_step(config), SCREEN, grid, 1, paired),
        Pass(ode(few), SCREEN, half, 1, paired),
    )

"""What is done with each image: the full passes of a scan, and cheap first passes before them."""

from __future__ import annotations

from dataclasses import replace

from memaudit.attacks.base import Attack, Grid, Grids, Pass
from memaudit.attacks.mirrored import NAME as MIRRORED
from memaudit.attacks.reconstruction import ode, preferred
from memaudit.attacks.registry import load_attack
from memaudit.config import NO_ATTACK, RECONSTRUCTIONS, AttackConfig
from memaudit.errors import ConfigError
from memaudit.models.denoiser import Conditioning
from memaudit.records import FULL, SCREEN, Column, Primary

FEW_STEPS = 3
FEWER_DRAWS = 4  # times fewer draws of a promoted image
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
    """All that is asked of an image, each attack at every level and draw of its own.

    Of an adaptive scan: all that is asked of a promoted image, which is reconstructed at the two
    levels that tell most, with a quarter of the draws. There many images are promoted rather than
    few with many draws, because the first pass has told them from the rest already.
    """
    corruption, paired = config.corruption, config.reference is not None
    draws = {"strong": corruption.draws, "weak": corruption.weak_draws}
    if config.adaptive:
        grids = replace(grids, strong=_telling(grids.strong))
        draws["strong"] = max(1, corruption.draws // FEWER_DRAWS)
    return tuple(
        Pass(attack, FULL, grids.of(attack.noise), draws[attack.noise], paired)
        for attack in attacks_of(config)
    )


def claim_passes(config: AttackConfig, grids: Grids) -> tuple[Pass, ...]:
    """The full passes that the claims rest on, that of reconstruction first."""
    by_name = {how.attack.name: how for how in full_passes(config, grids)}
    return tuple(by_name[attack.name] for attack in claims_of(config))


def first_pass(config: AttackConfig, grids: Grids) -> Pass:
    """The first pass of an adaptive scan: one draw of what tells images apart at the least cost.

    That is the mirrored residual at its weakest noise where membership rests on it, for it depends
    little on how hard a picture is. Else a reconstruction in few steps at the levels that tell
    most: one step would miss what full sampling detects in models that were trained on noisy data.
    """
    mirrored = next((one for one in claims_of(config) if one.name == MIRRORED), None)
    if mirrored is not None:
        return Pass(mirrored, SCREEN, grids.weak.at(grids.weak.sigmas[:1]), 1)
    few = replace(config, steps=FEW_STEPS)
    return Pass(ode(few), SCREEN, _telling(grids.strong), 1, config.reference is not None)


def asked_of_all(config: AttackConfig, grids: Grids) -> tuple[Pass, ...]:
    """What an adaptive scan asks of all images beside its first pass: whatever membership rests on.

    Nothing if the first pass is of that attack.
    """
    first = first_pass(config, grids).attack.name
    return tuple(how for how in claim_passes(config, grids)[1:] if how.attack.name != first)


def _telling(grid: Grid) -> Grid:
    """The two levels above the weakest, below the strongest, and of noisy copies the same.

    Under the weakest noise images that were never seen come back, too, under the strongest nearly
    none.
    """
    kept = {*_middle(grid.sigmas), *_middle(grid.copies)}
    return grid.at(tuple(sigma for sigma in grid.sigmas if sigma in kept))


def _middle(sigmas: tuple[float, ...]) -> tuple[float, ...]:
    return sigmas[1:-1][:2] or sigmas[:1]

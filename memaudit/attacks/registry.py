"""Attacks by name: the built-in ones and those that other packages register."""

from __future__ import annotations

from collections.abc import Callable

from memaudit.attacks.base import Attack
from memaudit.config import AttackConfig
from memaudit.plugins import Plugins

BUILT_IN = {
    "clid": "memaudit.attacks.clid:clid",
    "denoising-loss": "memaudit.attacks.residual:denoising_loss",
    "mean-residual": "memaudit.attacks.residual:mean_residual",
    "mirrored-residual": "memaudit.attacks.mirrored:mirrored_residual",
    "pia": "memaudit.attacks.pia:pia",
    "pian": "memaudit.attacks.pia:pian",
    "reconstruction-ode": "memaudit.attacks.reconstruction:ode",
    "reconstruction-one-step": "memaudit.attacks.reconstruction:one_step",
    "reconstruction-sample": "memaudit.attacks.reconstruction:sample",
    "restoration-blur": "memaudit.attacks.restoration:blur",
    "restoration-downsample": "memaudit.attacks.restoration:downsample",
    "restoration-mask-box": "memaudit.attacks.restoration:mask_box",
    "restoration-mask-half": "memaudit.attacks.restoration:mask_half",
    "restoration-mask-object": "memaudit.attacks.restoration:mask_object",
    "restoration-mask-random": "memaudit.attacks.restoration:mask_random",
    "restoration-noise-mask": "memaudit.attacks.restoration:noise_and_mask",
    "residual-correlation": "memaudit.attacks.residual:residual_correlation",
    "secmi": "memaudit.attacks.secmi:secmi",
    "sima": "memaudit.attacks.sima:sima",
}
# A factory makes an attack of what a scan is asked to do.
ATTACKS = Plugins[Callable[[AttackConfig], Attack]]("attack", "memaudit.attacks", BUILT_IN)


def load_attack(name: str, config: AttackConfig) -> Attack:
    """Make an attack of a scan's configuration; raises ConfigError for an unknown name."""
    return ATTACKS.load(name)(config)

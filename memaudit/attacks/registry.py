"""Attacks by name: the built-in ones and those that other packages register."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import cast

from memaudit.attacks.base import Attack
from memaudit.config import AttackConfig
from memaudit.errors import ConfigError

GROUP = "memaudit.attacks"
BUILT_IN = {
    "reconstruction-ode": "memaudit.attacks.reconstruction:ode",
    "reconstruction-one-step": "memaudit.attacks.reconstruction:one_step",
    "reconstruction-sample": "memaudit.attacks.reconstruction:sample",
}
Factory = Callable[[AttackConfig], Attack]


def load_attack(name: str, config: AttackConfig) -> Attack:
    """Make an attack of a scan's configuration; raises ConfigError for an unknown name."""
    if name not in BUILT_IN:
        raise ConfigError(f"there is no attack {name!r}")
    module, _, function = BUILT_IN[name].partition(":")
    return cast(Factory, getattr(importlib.import_module(module), function))(config)

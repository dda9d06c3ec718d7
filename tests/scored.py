"""Tables of scores that tests make by hand, and what is pooled of them."""

from collections.abc import Iterable

import pandas as pd

from memaudit.attacks.reconstruction import ODE
from memaudit.attacks.scores import COLUMNS
from memaudit.records import CLEAN, FULL, KEYS, Column, Input, Phase, Primary
from memaudit.statistics.probes import Probe

BY_NAME = {column.name: column for column in COLUMNS}
CLEAN_ODE = Probe(ODE)


def columns(*names: str) -> tuple[Column, ...]:
    """Columns of a reconstruction; of another name, one that does not exist."""
    return tuple(BY_NAME.get(name, Column(name, "")) for name in names)


def primary(*names: str, attack: str = ODE) -> Primary:
    """A score that is pooled of columns of clean images, and of copy_correlation of copies."""
    return Primary(attack, columns(*names or ("margin",)), columns("copy_correlation"))


def keys(
    ids: Iterable[str],
    sigmas: Iterable[float],
    draws: int = 1,
    *,
    attack: str = ODE,
    of: Input = CLEAN,
    phase: Phase = FULL,
) -> pd.DataFrame:
    """The keys of a table of scores, one row an example, level and draw."""
    every = [ids, [attack], [of], [phase], sigmas, range(draws)]
    return pd.MultiIndex.from_product(every, names=KEYS).to_frame(index=False)

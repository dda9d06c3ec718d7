"""Which weights of a file are audited where it holds both: those trained, or their averages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from memaudit.models.single.layouts import Held
from memaudit.models.single.stored import Stored

AVERAGES, TRAINED = "model_ema.", "model."  # how LDM begins the names of either
FLAT = "model_ema.diffusion_model"


@dataclass(frozen=True)
class Chosen:
    """The network whose weights are audited; `said` names them, `other` are those passed over."""

    network: Held
    said: str
    other: frozenset[str]


def choose(network: Held, tensors: Mapping[str, Stored]) -> Chosen:
    """Take the averages where they are whole, as samplers do, else the weights as they stand.

    This is the one place where the choice is made.
    """
    averages = {name for name in tensors if name.startswith(FLAT)}
    named = {bare: f"{FLAT}{bare.replace('.', '')}" for bare in network.names}
    if not averages:
        return Chosen(network, "as they stand in the file", frozenset())
    whole = (
        len(named) == len(averages)
        and averages == set(named.values())
        and all(
            tensors[average].shape == tensors[network.names[bare]].shape
            for bare, average in named.items()
        )
    )
    if not whole:
        said = f"as trained ({TRAINED}); averages beside them ({AVERAGES}) are not whole"
        return Chosen(network, said, frozenset(averages))
    return Chosen(
        replace(network, names=named),
        f"averages of training ({AVERAGES})",
        frozenset(network.names.values()),
    )

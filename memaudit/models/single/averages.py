"""Which weights of a file are audited where it holds both: those trained, or their averages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from memaudit.errors import ModelError
from memaudit.models.loaded import WeightsAsked
from memaudit.models.provenance import Choice, Why
from memaudit.models.single.layouts import Held
from memaudit.models.single.stored import Stored

AVERAGES, TRAINED = "model_ema.", "model."  # how LDM begins the names of either
FLAT = f"{AVERAGES}diffusion_model"  # after which names have no dots


@dataclass(frozen=True)
class Chosen:
    """The network whose weights are audited; `other` are those that are passed over for them."""

    network: Held
    choice: Choice | None = None
    other: frozenset[str] = frozenset()


def choose(
    place: Path, network: Held, tensors: Mapping[str, Stored], asked: WeightsAsked
) -> Chosen:
    """Take the weights that are asked for, else the averages, with which models are sampled.

    Raises ModelError for averages that are not whole, unless the others are asked for.
    """
    averages = frozenset(name for name in tensors if name.startswith(FLAT))
    if not averages:
        return Chosen(network)
    ema, raw = f"{AVERAGES}*", f"{TRAINED}*"
    if asked in ("raw", "plain"):
        why: Why = "plain" if asked == "plain" else "asked"
        return Chosen(network, Choice(network.part, "raw", raw, (ema,), why), averages)
    named = {bare: f"{FLAT}{bare.replace('.', '')}" for bare in network.names}
    strays = [bare for bare, name in named.items() if not _alike(network, bare, name, tensors)]
    if strays or len(named) != len(averages):
        raise ModelError(
            f"{place} holds {len(averages)} averages ({ema}) of the {len(named)} weights of its "
            f"{network.part} ({raw}), {len(strays)} of them missing or of another shape; copy it "
            "again. They are its EMA weights, which are used unless --weights raw asks for the "
            "others"
        )
    choice = Choice(network.part, "ema", ema, (raw,), "asked" if asked else "default")
    return Chosen(replace(network, names=named), choice, frozenset(network.names.values()))


def _alike(network: Held, bare: str, name: str, tensors: Mapping[str, Stored]) -> bool:
    average = tensors.get(name)
    return average is not None and average.shape == tensors[network.names[bare]].shape

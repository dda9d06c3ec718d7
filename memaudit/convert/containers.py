"""Where the weights are inside what a checkpoint holds, and what else is there.

What was unpickled is another's making: dicts are looked into by the methods of dict itself, to a
depth and in a number that are bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from torch import Tensor
from torch.nn import Parameter

from memaudit.convert.result import LeftOut
from memaudit.errors import ModelError

DEPTH = 8  # dicts inside each other
VISITS = 10_000  # dicts that are looked into
SHOWN = 8  # sets of weights that a message lists
NAMED = 50  # entries that were left out, by name
LONGEST = 120  # characters of a name that is told
HOLDERS = frozenset(  # what programs call the entry that holds the weights
    {
        *("state_dict", "model", "module", "net", "network", "params", "weights"),
        *("model_state_dict", "ema", "model_ema", "ema_state_dict", "ema_model", "params_ema"),
    }
)
KINDS: dict[type, str] = {  # of what is told by its type
    type(None): "nothing",
    **dict.fromkeys((bool, int, float), "a number"),
    **dict.fromkeys((str, bytes), "text"),
    **dict.fromkeys((Tensor, Parameter), "a tensor"),
}
OF_OPTIMIZER = re.compile(r"opt|optim.*")  # keys of what holds tensors and no weights


@dataclass(frozen=True, eq=False)
class StateDict:
    """Tensors by name, and the keys that lead to them from the top of the checkpoint."""

    path: tuple[str, ...]
    tensors: dict[str, Tensor]

    @property
    def name(self) -> str:
        """How it is called on the command line; "" for the checkpoint itself."""
        return ".".join(self.path)

    def __str__(self) -> str:
        """Its name and its size."""
        numbers = sum(map(Tensor.numel, self.tensors.values()))
        return f"{short(self.name)} ({len(self.tensors)} tensors, {numbers} numbers)"


def find(content: Any) -> list[StateDict]:
    """Find all sets of weights; raises ModelError for what is no dict, or is too branched."""
    if not isinstance(content, dict):
        raise ModelError(f"it holds {described(content)}, expected tensors by their names")
    return list(_Search().within(content, ()))


def take(found: list[StateDict], key: str | None) -> StateDict:
    """Choose a set of weights: the only one, or that of a name; raises ModelError."""
    if not found:
        raise ModelError("it holds no tensors with names, expected those of a network")
    if key is None and len(found) == 1:
        return found[0]
    there = "; ".join(map(str, found[:SHOWN]))
    if len(found) > SHOWN:
        there += f"; and {len(found) - SHOWN} more"
    if key is None:
        raise ModelError(
            f"it holds {len(found)} sets of weights: {there}; say which with --take, for example "
            f"--take {short(found[-1].name)}"
        )
    if not found[0].path:
        raise ModelError(f"it holds one set of weights, not under any key: leave out --take {key}")
    named = [one for one in found if one.name == key]
    named = named or [one for one in found if one.name.startswith(f"{key}.")]
    if len(named) != 1:
        many = "several sets" if named else "no set"
        raise ModelError(f"it holds {many} of weights under {key}; found {there}: name one of them")
    return named[0]


def left_out(content: dict[Any, Any], taken: StateDict) -> Iterator[LeftOut]:
    """Name all that stands beside the weights on the way to them, and among them."""
    at: Any = content
    for depth, key in enumerate(taken.path):
        for other, value in dict.items(at):
            if other != key:
                yield LeftOut(_name((*taken.path[:depth], other)), described(value))
        at = dict.__getitem__(at, key)
    for other, value in dict.items(at):
        if not (isinstance(other, str) and isinstance(value, Tensor)):
            yield LeftOut(_name((*taken.path, other)), described(value))


def described(value: Any) -> str:
    """What something is, in a few words."""
    if isinstance(value, dict):
        return _described_dict(value)
    if isinstance(value, list | tuple):
        return _described_list(value)
    return KINDS.get(type(value), f"a {type(value).__name__}")


def short(text: str) -> str:
    """A name as far as it is told."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _described_dict(value: dict[Any, Any]) -> str:
    if _is_optimizer(value):
        return "states of an optimizer"
    tensors = sum(len(one.tensors) for one in _Search().within(value, ()))
    if tensors:
        return f"{tensors} tensors"
    unnamed = sum(_unnamed(one) for one in islice(dict.values(value), NAMED))
    return f"{unnamed} tensors without names" if unnamed else f"{len(value)} entries"


def _described_list(value: list[Any] | tuple[Any, ...]) -> str:
    if any(_is_optimizer(one) for one in islice(value, NAMED)):
        return "states of optimizers"
    unnamed = _unnamed(value)
    return f"{unnamed} tensors without names" if unnamed else f"a list of {len(value)}"


def _unnamed(value: Any) -> int:
    listed = isinstance(value, list | tuple)
    return sum(isinstance(one, Tensor) for one in value) if listed else 0


def _is_optimizer(value: Any) -> bool:
    return isinstance(value, dict) and {"state", "param_groups"} <= set(dict.keys(value))


def _name(path: tuple[Any, ...]) -> str:
    return short(".".join(one if isinstance(one, str) else described(one) for one in path))


class _Search:
    """A walk through dicts that may hold each other, and themselves."""

    def __init__(self) -> None:
        self._visits = 0

    def within(self, holder: dict[Any, Any], path: tuple[str, ...]) -> list[StateDict]:
        """The sets of weights in a dict: itself, or those inside it.

        A dict with more tensors of its own than in the dicts inside it is a set of weights, unless
        one of these is called as programs call the weights.
        """
        self._visits += 1
        if self._visits > VISITS:
            raise ModelError(f"it holds more than {VISITS} dicts inside each other")
        if len(path) >= DEPTH or _is_optimizer(holder):
            return []
        inner = [
            (key, one)
            for key, value in dict.items(holder)
            if isinstance(key, str) and isinstance(value, dict) and not OF_OPTIMIZER.fullmatch(key)
            for one in self.within(value, (*path, key))
        ]
        own = {
            key: value
            for key, value in dict.items(holder)
            if isinstance(key, str) and isinstance(value, Tensor)
        }
        holds = any(key in HOLDERS for key, _ in inner)
        if own and not holds and len(own) >= sum(len(one.tensors) for _, one in inner):
            return [StateDict(path, own)]
        return [one for _, one in inner]

"""Whether the tensors of a file are those of a network, to the last one, before any is read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from memaudit.errors import ModelError
from memaudit.foreign import reason
from memaudit.models.single.converters import Tensors
from memaudit.models.single.layouts import Held
from memaudit.models.single.stored import Stored

SHOWN = 3  # names of a message
ADVICE = (
    "copy the file again if it is not whole, or name the folder of the same model with --base-model"
)


class Traced(Tensor):
    """A tensor without numbers that knows which tensors of the file it is made of."""

    sources: frozenset[str]

    @classmethod
    def of(cls, name: str, shape: Sequence[int]) -> Self:
        """A tensor of the file."""
        made = torch.empty(tuple(shape), device="meta").as_subclass(cls)
        made.sources = frozenset({name})
        return made

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do as torch does, and tell what is made the sources of what it is made of."""
        made = super().__torch_function__(func, types, args, kwargs or {})  # type: ignore[no-untyped-call]
        given = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Traced)]
        for one in tree_leaves(made):
            if isinstance(one, Traced):
                one.sources = frozenset().union(*(each.sources for each in given))
        return made


def converted(part: Held, tensors: Tensors, network: Any) -> Tensors:
    """Tensors of a part under the names of the network; those that are so named stay."""
    if tensors.keys() == network.state_dict().keys():
        return tensors
    return part.convert(dict(tensors), network)


def dropped(part: Held, stored: Mapping[str, Stored], network: Any, what: str) -> list[str]:
    """The tensors in the file that are no part of the network, which is whole without them.

    Raises ModelError if anything is missing, too much or of another shape, or if a tensor goes in
    by halves. `stored` says how each stands in the file, `what` begins the message.
    """
    traced: Tensors = {
        name: Traced.of(source, stored[source].shape) for name, source in part.names.items()
    }
    try:
        made = converted(part, traced, network)
    except Exception as error:  # whatever a converter raises over tensors that it does not expect
        raise ModelError(f"{what}: {_why(error)}; {ADVICE}") from error
    expected = {name: tuple(one.shape) for name, one in network.state_dict().items()}
    found = {name: tuple(one.shape) for name, one in made.items()}
    strays = sorted(name for name in expected | found if _stray(name, expected, found, network))
    if strays:
        raise ModelError(
            f"{what}: {len(strays)} tensors are missing, left over or of another shape, first "
            f"{', '.join(strays[:SHOWN])}; {ADVICE}"
        )
    used = frozenset().union(*(one.sources for one in made.values() if isinstance(one, Traced)))
    into = sum(one.numel() for one in made.values() if isinstance(one, Traced))
    numbers = sum(math.prod(stored[name].shape) for name in used)
    if into != numbers:  # a converter took a tensor apart for another width
        raise ModelError(f"{what}: {into} of its {numbers} numbers find a place; {ADVICE}")
    return [source for source in part.names.values() if source not in used]


def _why(error: Exception) -> str:
    return f"it lacks {error.args[0]}" if isinstance(error, KeyError) else reason(error)


def _stray(name: str, expected: Mapping[str, Any], found: Mapping[str, Any], network: Any) -> bool:
    """Whether a tensor is missing, too much or of another shape; what is tied may be missing."""
    tied = getattr(network, "_tied_weights_keys", None) or {}
    if name not in found and isinstance(tied, dict) and tied.get(name) in found:
        return False
    return expected.get(name) != found.get(name)

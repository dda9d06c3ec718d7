"""What each tensor of a file is for: a part, or nothing, for a stated reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from memaudit.errors import ModelError
from memaudit.models.loaded import WeightsAsked
from memaudit.models.provenance import Choice
from memaudit.models.single.averages import AVERAGES, choose
from memaudit.models.single.checkpoint import Checkpoint
from memaudit.models.single.layouts import Held, Layout, held
from memaudit.models.single.leftovers import beside, inside

SHOWN = 3  # names of a message
PASSED_OVER = "weights that are not audited"


@dataclass(frozen=True)
class Contents:
    """The parts that a file holds, which weights of its network were chosen, and what is left.

    `ignored` gives the tensors that nothing needs, with the reason; `strays` have none.
    """

    parts: Mapping[str, Held]
    choice: Choice | None
    ignored: Mapping[str, str]
    strays: tuple[str, ...]

    def unused(
        self, checkpoint: Checkpoint, layout: Layout, dropped: Iterable[str]
    ) -> dict[str, int]:
        """How many tensors have no use, by reason; `dropped` are those that parts do without.

        Raises ModelError if one has no use for a reason that is not known.
        """
        left = list(dropped)
        excused = inside(left)
        strays = sorted([*self.strays, *(name for name in left if name not in excused)])
        if strays:
            raise ModelError(
                f"{checkpoint.place} holds {len(strays)} tensors that are no part of a "
                f"{layout.name} as it is read, first {', '.join(strays[:SHOWN])}; what is not read "
                "may change what the model answers: give a file without it, or the folder of the "
                "model"
            )
        return dict(sorted(Counter([*self.ignored.values(), *excused.values()]).items()))


def sort(checkpoint: Checkpoint, layout: Layout, weights: WeightsAsked) -> Contents:
    """Say what the tensors of a file of this architecture are for."""
    ignored = beside(checkpoint.tensors)
    averages = {name for name in checkpoint.tensors if name.startswith(AVERAGES)}
    parts = held(layout, [n for n in checkpoint.tensors if n not in ignored.keys() | averages])
    chosen = choose(checkpoint.place, parts[layout.network], checkpoint.tensors, weights)
    parts = {**parts, layout.network: chosen.network}
    ignored |= dict.fromkeys(sorted(chosen.other), PASSED_OVER)
    taken = {name for part in parts.values() for name in part.names.values()}
    strays = [name for name in checkpoint.tensors if name not in taken and name not in ignored]
    return Contents(parts, chosen.choice, ignored, tuple(strays))

"""A single file, held to its configuration and accounted for, before a tensor of it is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from memaudit.models.chosen import Chosen, recorded
from memaudit.models.latent_parts import part_weights
from memaudit.models.loaded import ModelOptions
from memaudit.models.names import say_dropped
from memaudit.models.parts import Part, parts_of
from memaudit.models.provenance import Provenance
from memaudit.models.single.checkpoint import Checkpoint
from memaudit.models.single.contents import Contents, sort
from memaudit.models.single.frame import Frame
from memaudit.models.single.parts import Planned, plan
from memaudit.models.single.stored import formats
from memaudit.models.weights import sha256_file


@dataclass(frozen=True, eq=False)
class Opened:
    """Where each part is to come from: of the file (`planned`), or of the base (`lacking`).

    `unused` says how many tensors of the file have no use, by reason.
    """

    checkpoint: Checkpoint
    frame: Frame
    contents: Contents
    planned: Mapping[str, Planned]
    unused: Mapping[str, int]

    @property
    def lacking(self) -> list[str]:
        """The parts that the file lacks."""
        return self.frame.lacking(self.planned)

    def recorded(
        self, said: Provenance, components: Mapping[str, Any], options: ModelOptions
    ) -> Provenance:
        """Keep in a provenance which files the parts of a pipeline came from, and how they stood.

        Files of the base go by their place in it.
        """
        frame, checkpoint = self.frame, self.checkpoint
        of_base = [
            part_weights(frame.recipe.parts[part][0], frame.folder / part, options)
            for part in self.lacking
        ]
        said = replace(said, parts=self._parts(components, of_base))
        said = recorded(said, of_base, frame.folder)
        own = {path.name: sha256_file(path) for path in checkpoint.files}
        choices = () if self.contents.choice is None else (self.contents.choice,)
        said = replace(said, weights=own | said.weights, choices=(*choices, *said.choices))
        written = {
            part: [checkpoint.sources[name].name for name in planned.held.names.values()]
            for part, planned in self.planned.items()
        }
        return say_dropped(said, written)

    def told(self) -> dict[str, Any]:
        """What is kept of a single file beside its digest."""
        name = self.checkpoint.place.name
        used = [source for part in self.planned.values() for source in part.held.names.values()]
        return {
            "parts": dict.fromkeys(self.planned, name) | dict.fromkeys(self.lacking, "base"),
            "formats": formats(self.checkpoint.tensors[source] for source in used),
            "unused": dict(self.unused),
            "configuration": self.frame.name,
            "configuration_files": self.frame.digests(),
        }

    def _parts(self, components: Mapping[str, Any], of_base: list[Chosen]) -> dict[str, Part]:
        parts = parts_of(components, {one.part: one.named(self.frame.folder) for one in of_base})
        own = {part: dict(self._bytes(planned)) for part, planned in self.planned.items()}
        return {name: replace(one, bytes=own.get(name, one.bytes)) for name, one in parts.items()}

    def _bytes(self, planned: Planned) -> Iterator[tuple[str, int]]:
        """How much of each file a part is."""
        checkpoint, names = self.checkpoint, planned.held.names.values()
        for path in checkpoint.files:
            held = [name for name in names if checkpoint.sources[name].path == path]
            if held:
                yield path.name, sum(checkpoint.tensors[name].bytes for name in held)


def hold(checkpoint: Checkpoint, frame: Frame, options: ModelOptions) -> Opened:
    """Hold the parts of a file to their configuration; raises ModelError for all that is amiss."""
    contents = sort(checkpoint, frame.layout, options.weights)
    frame.expect_whole(checkpoint, contents.parts)
    planned = {part: plan(each, frame, checkpoint) for part, each in contents.parts.items()}
    dropped = [name for each in planned.values() for name in each.dropped]
    unused = contents.unused(checkpoint, frame.layout, dropped)
    return Opened(checkpoint, frame, contents, planned, unused)

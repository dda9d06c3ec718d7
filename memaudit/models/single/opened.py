"""A single file, held to its configuration and accounted for, before a tensor of it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from memaudit.models.latent_parts import part_files
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

    def weights(self, variant: str | None) -> dict[str, str]:
        """sha256 of each file of weights; those of the base go by their place in it."""
        frame = self.frame
        of_base = {
            f"{part}/{path.name}": sha256_file(path)
            for part in self.lacking
            for path in part_files(frame.recipe.parts[part][0], frame.folder / part, variant)
        }
        return {path.name: sha256_file(path) for path in self.checkpoint.files} | of_base

    def told(self) -> dict[str, Any]:
        """What is kept of a single file beside its digest."""
        name = self.checkpoint.place.name
        used = [
            self.checkpoint.tensors[source]
            for part in self.planned.values()
            for source in part.held.names.values()
        ]
        return {
            "parts": dict.fromkeys(self.planned, name) | dict.fromkeys(self.lacking, "base"),
            "weights": self.contents.weights,
            "formats": formats(used),
            "unused": dict(self.unused),
            "configuration": self.frame.name,
            "configuration_files": self.frame.digests(),
        }


def hold(checkpoint: Checkpoint, frame: Frame) -> Opened:
    """Hold the parts of a file to their configuration; raises ModelError for all that is amiss."""
    contents = sort(checkpoint, frame.layout)
    frame.expect_whole(checkpoint, contents.parts)
    planned = {part: plan(each, frame, checkpoint) for part, each in contents.parts.items()}
    dropped = [name for each in planned.values() for name in each.dropped]
    unused = contents.unused(checkpoint, frame.layout, dropped)
    return Opened(checkpoint, frame, contents, planned, unused)

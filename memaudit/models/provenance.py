"""Where a model comes from and how it is read, as run directories keep it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from memaudit.config import digest
from memaudit.models.ambient import Ambient
from memaudit.models.parts import Part

DIGITS = 12  # of a digest that tells models apart

Kind = Literal["ema", "raw"]  # of weights: averaged over the steps of a training, or the last
Why = Literal["asked", "default", "named", "plain"]


@dataclass(frozen=True)
class Choice:
    """Which weights of a part were used, where a model holds EMA weights and raw ones.

    `used` is None where nothing says of which kind they are. `place` is their folder, and the
    variant of their files; `beside` are the places of the others. `why`: they were asked for; EMA
    is what is used where nothing is; MODEL or --variant names them; or a base is taken from the
    plain place.
    """

    part: str
    used: Kind | None
    place: str
    beside: tuple[str, ...]
    why: Why


@dataclass(frozen=True)
class Memorized:
    """The images that a perfect memorizer holds, and how many of their data set it could not read.

    `fingerprint` is that of the data set.
    """

    images: int
    unreadable: int
    fingerprint: str


@dataclass(frozen=True)
class Provenance:
    """What the family that opened a model says of it; blank, null or empty where it does not say.

    `model` is MODEL as it was asked for, `revision` the commit of the hub; `load_model` adds both.
    `base` is the pipeline that LoRA adapters are in. `weights` and `adapters` hold the sha256 (hex)
    of each file, by name; `choices` tell of EMA and raw weights which they are, and `parts` what
    was read of the model, by the names of its components. `parameters` are those of the network
    that is asked. `reading` is what the parameterization is called, `mask` in words through what a
    network of masked images is asked. `details` are further plain values of the family's own, such
    as the configuration of a scheduler.
    """

    family: str = ""
    model: str = ""
    revision: str | None = None
    base: str | None = None
    reading: dict[str, str] = field(default_factory=dict)
    ambient: Ambient | None = None
    mask: str | None = None
    dtype: str | None = None
    parameters: int | None = None
    weights: dict[str, str] = field(default_factory=dict)
    adapters: dict[str, str] = field(default_factory=dict)
    memorized: Memorized | None = None
    details: dict[str, Any] = field(default_factory=dict)
    parts: dict[str, Part] = field(default_factory=dict)
    choices: tuple[Choice, ...] = ()

    @property
    def digest(self) -> str:
        """Digest of the weights, or of the images that are memorized; "" if they are not known."""
        images = None if self.memorized is None else self.memorized.fingerprint
        known = [self.weights, self.adapters, images]
        return digest(known)[:DIGITS] if any(known) else ""

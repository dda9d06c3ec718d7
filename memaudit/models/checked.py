"""The self-check of a model, as an inspection tells it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from memaudit.models.self_check import Judged


@dataclass(frozen=True)
class CheckedLevel:
    """Mean squared errors at a noise level: of the declared reading, and of the trivial answer.

    That is the best blend of the noisy input and the average image.
    """

    sigma: float
    declared: float
    trivial: float


@dataclass(frozen=True)
class OtherReading:
    """The best of the other readings, and its squared error over that of the declared one."""

    name: str
    error_ratio: float | None


@dataclass(frozen=True)
class Checked:
    """Whether the declared reading passed, on so many images; `unreadable` were tried in vain.

    `reason` says why it is refused, or why there was nothing to check. `copies`: noisy copies that
    it was trained on, of other images, were asked for too.
    """

    state: Literal["passed", "refused", "nothing to check"]
    reason: str | None
    images: int
    unreadable: int
    copies: int = 0
    levels: tuple[CheckedLevel, ...] = ()
    best_other: OtherReading | None = None

    @classmethod
    def of(cls, judged: Judged, images: int, unreadable: int) -> Checked:
        """What was found of a model that was asked about images, and maybe about copies."""
        check = judged.check
        by_level = zip(check.sigmas, check.declared, judged.trivial, strict=True)
        ratio = None if check.best_log_ratio is None else math.exp(check.best_log_ratio)
        return cls(
            state="refused" if judged.refusal else "passed",
            reason=judged.refusal or None,
            images=images,
            unreadable=unreadable,
            copies=check.images - images,
            levels=tuple(CheckedLevel(*one) for one in by_level),
            best_other=OtherReading(check.best_alternative, ratio)
            if check.best_alternative
            else None,
        )

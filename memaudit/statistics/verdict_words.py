"""What a verdict says of the two ways to corrupt images: noise, and hiding a part."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Words:
    """What a verdict says of one way to corrupt images: of its limits, of copies, of what to do."""

    nothing: str
    end: str
    copies: str
    weaker: str
    levels: str
    option: str


NOISED = Words(
    nothing="no reconstruction beyond held-out controls was found",
    end="under this attack at this noise",
    copies="when covered with noise from which at most 1 in 100 controls do",
    weaker="take weaker noise",
    levels="noise level",
    option="--sigma",
)
HIDDEN = Words(
    nothing="no restoration beyond held-out controls was found",
    end="under this attack with so much hidden",
    copies="where so much of them is hidden that at most 1 in 100 controls do",
    weaker="hide less",
    levels="share that is hidden",
    option="the strengths of --corruption",
)

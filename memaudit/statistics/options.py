"""How a scan's scores are calibrated."""

from __future__ import annotations

from dataclasses import dataclass

from memaudit.records import Column, Primary


@dataclass(frozen=True)
class Options:
    """How a scan's scores are calibrated.

    `primary` is the score that the claim of reproduction rests on, `membership` that of
    membership, None where it is not asked for; `columns` are those of their attacks that a finding
    sums up. `others` are the scores of further attacks, which no verdict rests on. `q` is the false
    discovery rate of `flagged`; `copy_threshold` is the own similarity from which the embedder
    calls two images copies, None if it has no such threshold; `embedder` is its name, for the
    thresholds of the literature; `rounds` counts permutations. `captions`: the model was told each
    image's own caption. `tolerated_*`: a scan that finds only more memorized images than this count
    and this share of the members finds nothing.
    """

    primary: Primary
    columns: tuple[Column, ...]
    others: tuple[Primary, ...] = ()
    q: float = 0.05
    copy_threshold: float | None = None
    embedder: str = ""
    rounds: int = 9999
    seed: int = 0
    captions: bool = False
    tolerated_count: int = 5
    tolerated_share: float = 0.05
    membership: Primary | None = None

    @property
    def claims(self) -> tuple[Primary, ...]:
        """The scores that share the level of the verdict."""
        return (self.primary,) if self.membership is None else (self.primary, self.membership)

    @property
    def leading(self) -> Primary:
        """The score that ranks the findings: of membership where it is asked for."""
        return self.claims[-1]

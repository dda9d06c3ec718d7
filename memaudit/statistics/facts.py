"""What the verdict of a scan rests on."""

from __future__ import annotations

from dataclasses import dataclass

from memaudit.statistics.verdict_words import HIDDEN, NOISED, Words


@dataclass(frozen=True)
class SideFacts:
    """One side: what calibrates, and what was lost.

    `units` are the images that calibrate, one a duplicate group, or their clusters; `spanning` of
    `groups` have images on the other side too; `lost` of `entries` could not be read or scored.
    """

    units: int
    groups: int
    spanning: int
    lost: int
    entries: int


@dataclass(frozen=True)
class Found:
    """What one score shows: its smallest q, its data-set p, and how many members are flagged.

    `min_q` and `dataset_p` are 1 where they could not be computed.
    """

    min_q: float
    dataset_p: float
    flagged: int

    @property
    def smallest(self) -> float:
        """The smaller of q and p, which share the level."""
        return min(self.min_q, self.dataset_p)

    @property
    def words(self) -> str:
        """Its numbers for people."""
        return f"smallest q {small(self.min_q)}, data-set p {small(self.dataset_p)}"


@dataclass(frozen=True)
class Facts:
    """What the verdict rests on.

    `found` is shown by the score less what pictures predict of it, `raw` by the score alone; both
    must agree. `claims` share the level. `reproductions` of the flagged come back as copies,
    `reproduction_q` is the smallest q of reproduction. `power` is the share of a perfect
    memorizer's images that the scan finds, None if not measured; `detectable` is the fewest
    memorized images that it finds, None if not even all members, and `tolerated` how large that
    may be. `informative` is what the noise levels are worth together (`power.worth`). `shift`
    says how the sides differ in the score that their pictures predict, `untested` why that is not
    known; both are empty else. `by_input` says what the flagged rest on, where noisy copies were
    asked for, and `only_copies` whether it is these alone; `one_step_of_noisy`: a model of noisy
    data was reconstructed in one step only; `unasked` says why a model of noisy copies was not
    asked for these. `hides`: images were not covered with noise, a part of them was hidden.
    """

    members: SideFacts
    controls: SideFacts
    found: Found
    raw: Found
    self_checked: bool
    claims: int = 1
    reproduction_q: float = 1.0
    reproductions: int = 0
    power: float | None = None
    detectable: int | None = None
    tolerated: int = 0
    informative: float = 0.0
    shift: str = ""
    untested: str = ""
    by_input: str = ""
    only_copies: bool = False
    one_step_of_noisy: bool = False
    unasked: str = ""
    split_clusters: int = 0
    hides: bool = False

    @property
    def told(self) -> Words:
        """The words for how its images were corrupted."""
        return HIDDEN if self.hides else NOISED


def small(p_value: float) -> str:
    """A p-value for people; what permutations and ranks cannot tell from 0 is not spelled out."""
    return "< 0.0001" if p_value < 1e-4 else f"{p_value:.3g}"

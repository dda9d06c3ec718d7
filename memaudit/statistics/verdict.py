"""What a scan says in the end, and how sure it may be."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from memaudit.records import Claim, Split
from memaudit.statistics.conformal import controls_needed
from memaudit.statistics.verdict_words import HIDDEN, NOISED, Words

LEVEL = 0.05
HALF_LEVEL = LEVEL / 2  # the members and the data set as a whole share the level
LARGEST_LOST_SHARE = 0.05  # of the images of a side; one image more or less decides nothing
LARGEST_SPANNING_SHARE = 0.5  # of the duplicate groups of a side
ENOUGH = 0.5  # least power, and least worth of all noise levels together
INCONCLUSIVE = 4  # exit code


def fewest_controls(claims: int) -> int:
    """The fewest controls of a verdict on so many claims: with fewer no p-value is small enough."""
    return controls_needed(1, 1, HALF_LEVEL / claims)


class Outcome(StrEnum):
    """The three things a scan can say."""

    EVIDENCE = "evidence"
    NONE = "none beyond controls"
    INCONCLUSIVE = "inconclusive"


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


@dataclass(frozen=True)
class Verdict:
    """What a scan says of a claim: an outcome, and reasons without their full stops.

    `sentence` says it in words and claims nothing beyond this attack at its levels; `exit_code` is
    that of a scan, 4 if inconclusive, else 0.
    """

    claim: Claim
    outcome: Outcome
    reasons: tuple[str, ...]
    sentence: str
    exit_code: int

    @classmethod
    def evidence(cls, facts: Facts) -> Verdict:
        """Say what the evidence is of: copies, single images, or the data set as a whole."""
        reasons = (_found(facts),)
        if facts.found.min_q > HALF_LEVEL:
            said = (
                f"evidence of membership {facts.told.end}: the images said to be trained on stand "
                f"out of held-out controls as a whole; {_singles(facts)}"
            )
        elif facts.reproductions and facts.reproduction_q <= HALF_LEVEL:
            said = (
                f"evidence of reproduction {facts.told.end}: {facts.reproductions} of "
                f"{facts.members.units} images said to be trained on come back as copies "
                f"{facts.told.copies}"
            )
            return cls("reproduction", Outcome.EVIDENCE, reasons, said, 0)
        else:
            said = (
                f"evidence of membership {facts.told.end}: {_closer(facts)} stand out of "
                f"{'those of ' * facts.only_copies}held-out controls, {_copies(facts)}"
            )
        return cls("membership", Outcome.EVIDENCE, reasons, said, 0)

    @classmethod
    def none(cls, facts: Facts) -> Verdict:
        """Nothing was found, in a scan that could have found something."""
        also = ", nor another sign of membership," if facts.claims > 1 else ""
        said = f"{facts.told.nothing}{also} {facts.told.end}"
        return cls("reproduction", Outcome.NONE, (_found(facts),), said, 0)

    @classmethod
    def inconclusive(cls, *reasons: str) -> Verdict:
        """Say why a scan says nothing."""
        said = f"inconclusive: {'; '.join(reasons)}"
        return cls("reproduction", Outcome.INCONCLUSIVE, reasons, said, INCONCLUSIVE)


def decide(facts: Facts) -> Verdict:
    """Reach the verdict at level .05, half for the smallest q and half for the data-set p.

    Whatever makes a scan untrustworthy makes it inconclusive, however small its p-values. Evidence
    takes both the score alone and the score less what pictures predict of it.
    """
    alarms = _alarms(facts)
    if alarms:
        return Verdict.inconclusive(*alarms)
    smallest = sorted((facts.found.smallest, facts.raw.smallest))
    if smallest[1] <= HALF_LEVEL:
        return Verdict.evidence(facts)
    if smallest[0] <= HALF_LEVEL:
        return Verdict.inconclusive(_disagreement(facts))
    if smallest[1] <= LEVEL:
        return Verdict.inconclusive(
            f"borderline: {_found(facts)}; more controls or draws can decide it"
        )
    blind = _blind(facts)
    return Verdict.inconclusive(blind) if blind else Verdict.none(facts)


def tolerated(members: int, count: int, share: float) -> int:
    """The largest smallest number of memorized images with which nothing found means something."""
    return max(count, int(share * members + 1e-9))


def small(p_value: float) -> str:
    """A p-value for people; what permutations and ranks cannot tell from 0 is not spelled out."""
    return "< 0.0001" if p_value < 1e-4 else f"{p_value:.3g}"


def _closer(facts: Facts) -> str:
    """What stands out: training images, or the noisy copies of them."""
    images = f"{facts.found.flagged} of {facts.members.units} images said to be trained on"
    return f"the noisy copies of {images}" if facts.only_copies else images


def _singles(facts: Facts) -> str:
    if facts.found.flagged:
        return f"{facts.found.flagged} of them are flagged, which is no evidence by itself"
    return "no single image stands out"


def _copies(facts: Facts) -> str:
    if facts.reproductions:
        return "too few come back as copies to call that evidence, too"
    return "none of the images comes back as a copy"


def _disagreement(facts: Facts) -> str:
    alone, less = (
        "evidence" if one.smallest <= HALF_LEVEL else "no evidence"
        for one in (facts.raw, facts.found)
    )
    return (
        f"the score by itself is {alone} ({facts.raw.words}), and {less} once what the pictures "
        f"show of it is taken off ({facts.found.words}), so what is found may lie in the pictures "
        "and not in the model; give more controls, prepared as the members were"
    )


def _blind(facts: Facts) -> str:
    """Why a scan that found nothing could have found nothing; empty if it could have."""
    if facts.unasked:
        return (
            f"nothing stands out among the clean images, and {facts.unasked}. A model that "
            "memorized noisy copies brings those back and not the clean images"
        )
    if facts.power is None:
        return (
            "nothing stands out, but the power of the scan was not measured; scan without "
            "--no-power, with at least 2 images on each side"
        )
    if facts.power < ENOUGH:
        return (
            f"no power: of a perfect memorizer's images this scan finds {facts.power:.0%}, "
            f"expected at least {ENOUGH:.0%}; {facts.told.weaker}, take more draws or another "
            "embedder"
        )
    if facts.informative < ENOUGH:
        return (
            f"no informative {facts.told.levels}: at each, held-out images come back as well or "
            "even a perfect memorizer is not found; take other levels, or leave out "
            f"{facts.told.option}"
        )
    return _too_coarse(facts)


def _too_coarse(facts: Facts) -> str:
    if facts.detectable is not None and facts.detectable <= facts.tolerated:
        return ""
    count, members = facts.detectable, facts.members.units
    finds = "not even all of them" if count is None else f"{count} of {members} or more"
    return (
        f"nothing stands out, but of perfectly memorized images this scan finds {finds}, expected "
        f"{facts.tolerated} or fewer; give more controls (memaudit plan says how many), or ask "
        "less with --tolerated-count or --tolerated-share"
    )


def _alarms(facts: Facts) -> tuple[str, ...]:
    reasons = _too_few(facts)
    for name, side in _named(facts):
        if side.spanning > LARGEST_SPANNING_SHARE * side.groups:
            reasons.append(
                f"{side.spanning} of {side.groups} groups of {name}s have copies on the other "
                "side: members and controls are copies of each other. Give controls that the "
                "model was not trained on"
            )
    for name, side in _named(facts):
        if side.lost > max(1, LARGEST_LOST_SHARE * side.entries):
            reasons.append(
                f"{side.lost} of {side.entries} {name}s could not be read or scored, "
                f"expected at most {LARGEST_LOST_SHARE:.0%}; mend them or leave them out"
            )
    if facts.split_clusters:
        reasons.append(
            f"{facts.split_clusters} clusters have images on both sides, so that clusters are not "
            "what was divided; divide by cluster (memaudit split), or leave out --cluster-column"
        )
    if not facts.self_checked:
        reasons.append("the self-check of the model was switched off; scan with it")
    if facts.one_step_of_noisy:
        reasons.append(
            "only one step was run on a model of noisy data, and one step misses what full "
            "sampling detects; scan with --reconstruct ode"
        )
    if facts.shift:
        reasons.append(
            "shift detected: without the model, by what the pictures show, members and controls "
            f"differ in the score to be expected ({facts.shift}); give controls from the same "
            "source, prepared the same way"
        )
    return (*reasons, facts.untested) if facts.untested and not reasons else tuple(reasons)


def _named(facts: Facts) -> tuple[tuple[Split, SideFacts], ...]:
    return ("member", facts.members), ("control", facts.controls)


def _too_few(facts: Facts) -> list[str]:
    reasons, fewest = [], fewest_controls(facts.claims)
    controls = facts.controls.units
    if facts.members.units == 0:
        reasons.append("no member could be scored; give images that the model was trained on")
    if controls == 0:
        reasons.append(f"no controls; give at least {fewest} images the model has not seen")
    elif controls < fewest:
        reasons.append(
            f"too few controls: with {controls} no p-value of a member is below "
            f"{min(1, facts.claims / (controls + 1)):.3g}, expected {HALF_LEVEL} or less; "
            f"give at least {fewest}"
            + (
                ", or ask for reproduction alone (--attacks none), which takes "
                f"{fewest_controls(1)}"
                if facts.claims > 1
                else ""
            )
        )
    return reasons


def _found(facts: Facts) -> str:
    rests = f" ({facts.by_input})" if facts.by_input else ""
    return (
        f"{facts.found.flagged} of {facts.members.units} members flagged{rests}, "
        f"{facts.found.words}, evidence from {HALF_LEVEL} down"
    )

"""What a scan says in the end, and how sure it may be."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from memaudit.records import Claim
from memaudit.statistics.doubts import HALF_LEVEL, LEVEL, alarms, blind
from memaudit.statistics.facts import Facts

INCONCLUSIVE = 4  # exit code


class Outcome(StrEnum):
    """The three things a scan can say."""

    EVIDENCE = "evidence"
    NONE = "none beyond controls"
    INCONCLUSIVE = "inconclusive"


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
    doubted = alarms(facts)
    if doubted:
        return Verdict.inconclusive(*doubted)
    smallest = sorted((facts.found.smallest, facts.raw.smallest))
    if smallest[1] <= HALF_LEVEL:
        return Verdict.evidence(facts)
    if smallest[0] <= HALF_LEVEL:
        return Verdict.inconclusive(_disagreement(facts))
    if smallest[1] <= LEVEL:
        return Verdict.inconclusive(
            f"borderline: {_found(facts)}; more controls or draws can decide it"
        )
    unseen = blind(facts)
    return Verdict.inconclusive(unseen) if unseen else Verdict.none(facts)


def tolerated(members: int, count: int, share: float) -> int:
    """The largest smallest number of memorized images with which nothing found means something."""
    return max(count, int(share * members + 1e-9))


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


def _found(facts: Facts) -> str:
    rests = f" ({facts.by_input})" if facts.by_input else ""
    return (
        f"{facts.found.flagged} of {facts.members.units} members flagged{rests}, "
        f"{facts.found.words}, evidence from {HALF_LEVEL} down"
    )

"""What a scan says in the end, and how sure it may be."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from memaudit.records import Claim
from memaudit.statistics.conformal import controls_needed
from memaudit.statistics.power import ENOUGH

LEVEL = 0.05
HALF_LEVEL = LEVEL / 2  # the members and the data set as a whole share the level
FEWEST_FOR_EVIDENCE = controls_needed(1, 1, HALF_LEVEL)  # else no p-value is small enough
LARGEST_UNREADABLE_SHARE = 0.05
INCONCLUSIVE = 4  # exit code


class Outcome(StrEnum):
    """The three things a scan can say."""

    EVIDENCE = "evidence"
    NONE = "none beyond controls"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Facts:
    """What the verdict rests on.

    `members` and `controls` count the duplicate groups that calibrate; `min_q` and `dataset_p` are
    1 where they could not be computed; `flagged` counts member groups; `unreadable` of `entries`
    data-set entries could not be read or scored; `spanning` groups have rows on both sides.
    `power` is the share of a perfect memorizer's images that the scan finds, None if not measured;
    `informative` is what the noise levels are worth together (`power.worth`); `shift` says what
    separates members from controls without the model, empty if nothing does; `by_input` says what
    the flagged rest on, where noisy copies were asked for; `one_step_of_noisy`: a model of noisy
    data was reconstructed in one step only; `unasked` says why a model of noisy copies was not
    asked for these, empty if it was.
    """

    members: int
    controls: int
    min_q: float
    dataset_p: float
    flagged: int
    unreadable: int
    entries: int
    self_checked: bool
    spanning: int = 0
    power: float | None = None
    informative: float = 0.0
    shift: str = ""
    by_input: str = ""
    one_step_of_noisy: bool = False
    unasked: str = ""


@dataclass(frozen=True)
class Verdict:
    """What a scan says of a claim: an outcome, and reasons without their full stops.

    `sentence` says it in words and claims nothing beyond this attack and this noise; `exit_code` is
    that of a scan, 4 if inconclusive, else 0.
    """

    claim: Claim
    outcome: Outcome
    reasons: tuple[str, ...]
    sentence: str
    exit_code: int

    @classmethod
    def of(cls, outcome: Outcome, *reasons: str) -> Verdict:
        """Put an outcome of the reconstruction attack into words."""
        match outcome:
            case Outcome.EVIDENCE:
                said = "evidence of reconstruction beyond held-out controls"
            case Outcome.NONE:
                said = "no reconstruction beyond held-out controls was found"
            case Outcome.INCONCLUSIVE:
                sentence = f"inconclusive: {'; '.join(reasons)}"
                return cls("reproduction", outcome, reasons, sentence, INCONCLUSIVE)
        sentence = f"{said} under this attack at this noise"
        return cls("reproduction", outcome, reasons, sentence, 0)


def decide(facts: Facts) -> Verdict:
    """Reach the verdict at level .05, half for the smallest q and half for the data-set p.

    Whatever makes a scan untrustworthy makes it inconclusive, however small its p-values.
    """
    alarms = _alarms(facts)
    if alarms:
        return Verdict.of(Outcome.INCONCLUSIVE, *alarms)
    found = _found(facts)
    if min(facts.min_q, facts.dataset_p) <= HALF_LEVEL:
        return Verdict.of(Outcome.EVIDENCE, found)
    if facts.min_q <= LEVEL:
        return Verdict.of(
            Outcome.INCONCLUSIVE, f"borderline: {found}; more controls or draws can decide it"
        )
    blind = _blind(facts)
    return Verdict.of(*((Outcome.INCONCLUSIVE, blind) if blind else (Outcome.NONE, found)))


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
            f"expected at least {ENOUGH:.0%}; take weaker noise, more draws or another embedder"
        )
    if facts.informative < ENOUGH:
        return (
            "no informative noise level: at each, held-out images come back as well or even a "
            "perfect memorizer is not found; take other levels, or leave out --sigma"
        )
    return ""


def _alarms(facts: Facts) -> tuple[str, ...]:
    if facts.members == facts.controls == 0 and facts.spanning:
        return (
            "members and controls are copies of each other; give controls that the model was not "
            "trained on",
        )
    reasons = _too_few(facts)
    if facts.unreadable > LARGEST_UNREADABLE_SHARE * facts.entries:
        reasons.append(
            f"{facts.unreadable} of {facts.entries} images could not be read or scored, "
            f"expected at most {LARGEST_UNREADABLE_SHARE:.0%}; mend them or leave them out"
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
            "shift detected: members and controls can be told apart without the model "
            f"({facts.shift}); give controls from the same source, prepared the same way"
        )
    return tuple(reasons)


def _too_few(facts: Facts) -> list[str]:
    reasons, fewest = [], FEWEST_FOR_EVIDENCE
    if facts.members == 0:
        reasons.append("no member could be scored; give images that the model was trained on")
    if facts.controls == 0:
        reasons.append(f"no controls; give at least {fewest} images the model has not seen")
    elif facts.controls < fewest:
        reasons.append(
            f"too few controls: with {facts.controls} no p-value of a member is below "
            f"{1 / (facts.controls + 1):.3g}, expected {HALF_LEVEL} or less; "
            f"give at least {fewest}"
        )
    return reasons


def _found(facts: Facts) -> str:
    rests = f" ({facts.by_input})" if facts.by_input else ""
    return (
        f"{facts.flagged} of {facts.members} members flagged{rests}, smallest q {facts.min_q:.4g}, "
        f"data-set p {facts.dataset_p:.4g}, evidence from {HALF_LEVEL} down"
    )

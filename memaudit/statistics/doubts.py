"""What makes the verdict of a scan inconclusive, however small its p-values are."""

from __future__ import annotations

from memaudit.records import Split
from memaudit.statistics.conformal import controls_needed
from memaudit.statistics.facts import Facts, SideFacts

LEVEL = 0.05
HALF_LEVEL = LEVEL / 2  # the members and the data set as a whole share the level
LARGEST_LOST_SHARE = 0.05  # of the images of a side; one image more or less decides nothing
LARGEST_SPANNING_SHARE = 0.5  # of the duplicate groups of a side
ENOUGH = 0.5  # least power, and least worth of all noise levels together


def fewest_controls(claims: int) -> int:
    """The fewest controls of a verdict on so many claims: with fewer no p-value is small enough."""
    return controls_needed(1, 1, HALF_LEVEL / claims)


def blind(facts: Facts) -> str:
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


def alarms(facts: Facts) -> tuple[str, ...]:
    """What makes a scan untrustworthy, whatever it found."""
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

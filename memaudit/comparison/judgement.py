"""Which of two runs memorizes less, by how much and how surely: a sentence an input."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from memaudit.attacks.reconstruction import ONE_STEP, preferred
from memaudit.comparison.finished import FinishedRun
from memaudit.comparison.intervals import Interval
from memaudit.comparison.modes import ModeEvidence
from memaudit.comparison.records import Difference
from memaudit.records import CLEAN, COPY, Input

MEASURED: dict[Input, str] = {
    CLEAN: "own similarity of members beyond that of controls",
    COPY: "correlation with the noise of members' copies beyond that of controls'",
}


def judge(
    differences: Sequence[Difference], runs: Sequence[FinishedRun], modes: Sequence[ModeEvidence]
) -> list[str]:
    """Say of one pair what clean images show, and noisy copies if both were asked for them.

    Both are of reconstruction; a last sentence is of membership, by clean images.

    A run that memorized the copies it was trained on brings those back and not the clean images:
    it is not said to memorize less because of these.
    """
    by_name = {one.name: one for one in runs}
    clean, copies = (_chief(differences, what, by_name) for what in (CLEAN, COPY))
    said = []
    if clean is not None:
        figures = [*_figures(clean), *_by_copies(clean, by_name), *_by_one_step(clean, modes)]
        said.append(_sentence(_lead(clean, by_name), clean, figures))
    if copies is not None:
        lead = f"by the noisy copies that both were trained on, {_lead(copies, by_name)}"
        figures = [*_figures(copies), *_by_one_step(copies, modes)]
        said.append(_sentence(lead, copies, figures))
    known = next((row for row in whole_of(differences, CLEAN) if row.is_membership), None)
    if known is not None:
        lead = f"by what the models know of the images, {_lead(known, by_name)}"
        said.append(_sentence(lead, known, list(_figures(known))))
    return said


def whole_of(differences: Sequence[Difference], what: Input) -> list[Difference]:
    """Those of an input over all levels together."""
    return [row for row in differences if row.sigma is None and row.input == what]


def _chief(
    differences: Sequence[Difference], what: Input, runs: Mapping[str, FinishedRun]
) -> Difference | None:
    """Choose the difference that a sentence is about: all levels, by what the verdict rests on.

    Where only one of the runs rests on it, or neither does, that of the fullest sampling.
    """
    rows = whole_of(differences, what)
    whole = {row.attack: row for row in rows if not row.is_membership}
    if not whole:
        return None
    resting = {run.record.summary.attack for run in runs.values()}
    chief = resting.pop() if len(resting) == 1 else ""
    return whole.get(chief) or whole[preferred(whole)]


def _lead(row: Difference, runs: Mapping[str, FinishedRun]) -> str:
    run, base = row.run, row.base
    match row.direction:
        case "less":
            return f"{run} memorizes less than {base}"
        case "more":
            return f"{run} memorizes more than {base}"
        case "mixed":
            return f"mixed: {run} memorizes less than {base} by one measure and more by the other"
        case "not told":
            return _untold(row, runs)
    if row.ties == row.members:
        alike = "know" if row.is_membership else "bring"
        back = "" if row.is_membership else " back"
        return f"inconclusive: {run} and {base} {alike} all {row.members} members{back} alike"
    return f"inconclusive whether {run} memorizes less or more than {base}"


def _untold(row: Difference, runs: Mapping[str, FinishedRun]) -> str:
    lesser, other = (row.run, row.base) if row.lesser == row.run else (row.base, row.run)
    if runs[lesser].screened or runs[other].screened:
        shown = "the images compared" if row.input == CLEAN else "they"
        why = "they were chosen because they stood out in one of the two"
    elif row.input == CLEAN:
        shown, why = "clean images", f"{lesser} {runs[lesser].untold}"
    else:
        shown, why = "they", "the two trainings go on differently below the noise of the copies"
    return (
        f"{shown} show less of {lesser} than of {other}, but {why}: which of the two memorizes "
        "less is not told by them"
    )


def _sentence(lead: str, row: Difference, figures: Sequence[str]) -> str:
    if row.beyond_controls is None:
        return f"{lead}: there are no controls that both share"
    return f"{lead} ({row.probe.label}): {'; '.join(figures)}"


def _figures(row: Difference) -> Iterator[str]:
    measured = MEASURED[row.input]
    if row.is_membership:
        measured = f"{row.attack} of members beyond that of controls"
    yield f"{measured} {signed(row.beyond_controls, 3)}"
    if row.excess:
        yield f"excess above controls {points(row.excess.difference)}"
    yield f"sign-flip p of the {row.members} members alone {row.sign_flip_p:.2g}"


def _by_copies(row: Difference, runs: Mapping[str, FinishedRun]) -> Iterator[str]:
    for name in dict.fromkeys((row.base, row.run)):
        copies = runs[name].of_copies
        if copies is not None and copies.flagged:
            yield f"{copies.flagged} members of {name} flagged by their noisy copies in its scan"


def _by_one_step(row: Difference, modes: Sequence[ModeEvidence]) -> Iterator[str]:
    """The run that is favoured, where its one step gives evidence and its full sampling none."""
    shown = {
        one.attack: one.evidence
        for one in modes
        if one.run == row.lesser and one.input == row.input
    }
    if shown.get(ONE_STEP) and not shown.get(row.attack, True):
        yield f"one step of {row.lesser} gives evidence all the same"


def signed(one: Interval | None, digits: int) -> str:
    """A difference and its interval; a dash for none."""
    if one is None:
        return "-"
    return f"{one.estimate:+.{digits}f} ({one.low:+.{digits}f} .. {one.high:+.{digits}f})"


def points(one: Interval | None) -> str:
    """A difference of shares and its interval; a dash for none."""
    return "-" if one is None else f"{one.estimate:+.1%} ({one.low:+.1%} .. {one.high:+.1%})"

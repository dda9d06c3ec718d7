"""Which of two runs memorizes less, by how much and how surely: a sentence a query."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from memaudit.reports.finished import FinishedRun
from memaudit.stages.calibrate import CLEAN, COPY, Query, of_images, preferred, query_of
from memaudit.stages.compare import Difference, Interval

UNTOLD = "but memorized its noisy copies: which of the two memorizes less is not told"
MEASURED: dict[Query, str] = {
    CLEAN: "own similarity of members beyond that of controls",
    COPY: "correlation with the noise of members' copies beyond that of controls'",
}


def judge(differences: Sequence[Difference], runs: Sequence[FinishedRun]) -> list[str]:
    """Say of one pair what clean images show, and noisy copies if both were asked for them.

    A run that memorized the copies it was trained on brings those back and not the clean images:
    it is not said to memorize less because of these.
    """
    by_query = {query: chief(differences, query) for query in (CLEAN, COPY)}
    clean, copies = by_query[CLEAN], by_query[COPY]
    memorized = {
        one.name: one.of_copies.flagged
        for one in runs
        if one.of_copies is not None and one.of_copies.memorized
    }
    said = []
    if clean is not None:
        lead = _of_images(clean, set(memorized), copies is not None)
        said.append(_with_figures(lead, clean, {} if copies else memorized))
    if copies is not None:
        lead = f"by the noisy copies that both were trained on, {_direction(copies)}"
        said.append(_with_figures(lead, copies, {}))
    return said


def chief(differences: Sequence[Difference], query: Query = CLEAN) -> Difference | None:
    """Choose the difference that a sentence is about: all levels, fullest sampling."""
    whole = {
        of_images(row.reconstruction): row
        for row in differences
        if row.sigma is None and query_of(row.reconstruction) == query
    }
    return whole[preferred(whole)] if whole else None


def _direction(row: Difference) -> str:
    run, base = row.run, row.base
    if row.direction == "inconclusive" and row.ties == row.members:
        return f"inconclusive: {run} and {base} bring all {row.members} members back alike"
    return {
        "less": f"{run} memorizes less than {base}",
        "more": f"{run} memorizes more than {base}",
        "mixed": f"mixed: {run} memorizes less than {base} by one measure and more by the other",
        "inconclusive": f"inconclusive whether {run} memorizes less or more than {base}",
    }[row.direction]


def _of_images(row: Difference, memorized: set[str], both_asked: bool) -> str:
    run, base = row.run, row.base
    if row.direction == "less" and run in memorized:
        said = f"{run} brings clean images back less closely than {base}"
    elif row.direction == "more" and base in memorized:
        said = f"{base} brings clean images back less closely than {run}"
    else:
        return _direction(row)
    return said if both_asked else f"{said}, {UNTOLD}"


def _with_figures(lead: str, row: Difference, memorized: Mapping[str, int]) -> str:
    if row.beyond_controls is None:
        return f"{lead}: there are no controls that both share"
    return f"{lead} ({row.reconstruction}): {'; '.join(_figures(row, memorized))}"


def _figures(row: Difference, memorized: Mapping[str, int]) -> Iterator[str]:
    yield f"{MEASURED[query_of(row.reconstruction)]} {signed(row.beyond_controls, 3)}"
    if row.excess:
        yield f"excess above controls {points(row.excess.difference)}"
    yield f"sign-flip p {row.sign_flip_p:.2g} over {row.members} members"
    for name, count in memorized.items():
        if name in (row.run, row.base):
            yield f"{count} members of {name} flagged by their noisy copies"


def signed(one: Interval | None, digits: int) -> str:
    """A difference and its interval; a dash for none."""
    if one is None:
        return "-"
    return f"{one.estimate:+.{digits}f} ({one.low:+.{digits}f} .. {one.high:+.{digits}f})"


def points(one: Interval | None) -> str:
    """A difference of shares and its interval; a dash for none."""
    return "-" if one is None else f"{one.estimate:+.1%} ({one.low:+.1%} .. {one.high:+.1%})"

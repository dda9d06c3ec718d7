"""A comparison in words and as a table."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pandas as pd

from memaudit.attacks.reconstruction import ODE, ONE_STEP, SAMPLE
from memaudit.comparison.finished import FinishedRun
from memaudit.comparison.intervals import CONFIDENCE
from memaudit.comparison.judgement import points, signed, whole_of
from memaudit.comparison.modes import ModeEvidence
from memaudit.comparison.records import COLUMNS, Difference
from memaudit.records import CLEAN, COPY, Input
from memaudit.text import shown

WIDTH = 118
ASKED: dict[Input, str] = {CLEAN: "", COPY: ", asked for its noisy copies"}
LIMITS = (
    "Read it so: differences are the run's value minus the base's, over the same images and draws; "
    f"intervals are of {CONFIDENCE:.1%}, images resampled. A win is a member that comes back less "
    "closely from the run than from the base; + are members flagged in the run alone, - in the "
    "base alone. 'Less' means less than the other under this attack at these levels, and does not "
    "say that nothing was memorized."
)
OF_COPIES = (
    "Where noisy copies were asked for, own similarity is the correlation of what came back with "
    "the frozen noise of the copy."
)
OF_MEMBERSHIP = (
    "In the rows of {}, which tells what a model knows and not what it brings back, own similarity "
    "is the score of that attack, turned so that higher is more suspicious; a win is a member that "
    "the run knows less."
)


def difference_table(differences: Iterable[Difference]) -> pd.DataFrame:
    """One row a difference, with COLUMNS; what could not be computed is blank."""
    names = [name for name, _ in COLUMNS]
    return pd.DataFrame([_flat(row) for row in differences], columns=names)


def _flat(row: Difference) -> dict[str, Any]:
    flags, excess = row.flags, row.excess
    intervals = {
        "own_similarity_difference": row.own_similarity,
        "controls_difference": row.controls_difference,
        "beyond_controls": row.beyond_controls,
        "flagged_difference": flags.difference if flags else None,
        "excess_difference": excess.difference if excess else None,
    }
    cells: dict[str, Any] = {name: getattr(row, name) for name, _ in COLUMNS if hasattr(row, name)}
    for name, one in intervals.items():
        if one is not None:
            cells |= {name: one.estimate, f"{name}_low": one.low, f"{name}_high": one.high}
    if flags:
        cells |= {"flagged_base": flags.base, "flagged_run": flags.run}
        cells |= {"newly_flagged": flags.newly, "no_longer_flagged": flags.no_longer}
    if excess:
        cells |= {"excess_base": excess.base, "excess_run": excess.run}
    return cells


def between_modes(modes: Sequence[ModeEvidence], differences: Sequence[Difference]) -> list[str]:
    """Say where one step and full sampling disagree, run by run and in the comparison."""
    said: list[str] = []
    for what in ASKED:
        said += _within_runs([one for one in modes if one.input == what])
        rows = [row for row in whole_of(differences, what) if not row.is_membership]
        said += _between_runs(rows)
    return said


def _within_runs(modes: Sequence[ModeEvidence]) -> Iterator[str]:
    """What one step and full sampling of one input show, run by run."""
    for run in dict.fromkeys(one.run for one in modes):
        by_attack = {one.attack: one for one in modes if one.run == run}
        one_step = by_attack.get(ONE_STEP)
        full = by_attack.get(ODE, by_attack.get(SAMPLE))
        if one_step is not None and full is not None:
            yield f"{run}{ASKED[full.input]}: {_against_one_step(full, one_step)}"


def _between_runs(whole: Sequence[Difference]) -> Iterator[str]:
    """Pairs of runs of which the attacks tell otherwise, over all levels together."""
    for base, run in dict.fromkeys((row.base, row.run) for row in whole):
        found = [row for row in whole if (row.base, row.run) == (base, run)]
        if len({_favoured(row) for row in found}) > 1:
            by_attack = ", ".join(f"by {row.probe.label} {_favoured(row)}" for row in found)
            yield f"{run} against {base}: the attacks disagree ({by_attack})"


def _favoured(row: Difference) -> str:
    """What the intervals of a row show, whether or not that tells who memorizes less."""
    return row.direction if row.lesser is None else f"less of {row.lesser}"


def _against_one_step(full: ModeEvidence, one_step: ModeEvidence) -> str:
    both_say = f"{full.attack} {_shown(full)}, one step {_shown(one_step)}"
    if full.evidence and not one_step.evidence:
        return f"one step misses what full sampling detects ({both_say}); rely on full sampling"
    if one_step.evidence and not full.evidence:
        return f"one step gives evidence where full sampling shows nothing ({both_say})"
    both = "both give evidence" if full.evidence else "neither gives evidence"
    return f"one step and full sampling agree, {both} ({both_say})"


def _shown(one: ModeEvidence) -> str:
    return (
        f"{one.flagged} of {one.members} flagged, smallest q {one.min_q:.3g}, "
        f"data-set p {one.dataset_p:.2g}"
    )


def describe_runs(runs: Sequence[FinishedRun]) -> list[str]:
    """Name each run, its directory, its model and its verdict."""
    return [
        shown(f"  {run.name}: {run.path}, model {run.model}; {run.record.verdict.outcome}")
        for run in dict.fromkeys(runs)
    ]


def lay_out(differences: Sequence[Difference]) -> list[str]:
    """Lay the differences of one pair of runs out as a table for people."""
    if not differences:
        return ["  no member was scored in both"]
    wide = max(len(row.probe.label) for row in differences)
    head = (
        f"  {'':{wide}}{'':>7}{'own similarity':^16}{'beyond controls':^24}{'sign':>9}"
        f"{'win/tie/loss':>14}{'flagged':>18}{'excess above controls':^30}",
        f"  {'':{wide}}{'level':>7}{'base':>8}{'run':>8}{'difference':^24}{'flip p':>9}"
        f"{'':>14}{'base, run (+ -)':>18}{'difference':^30}",
    )
    return [*head, *(_line(row, wide) for row in differences)]


def _line(row: Difference, wide: int) -> str:
    counts = f"{row.wins}/{row.ties}/{row.losses}"
    flags = row.flags
    flagged = f"{flags.base}, {flags.run} (+{flags.newly} -{flags.no_longer})" if flags else "-"
    return (
        f"  {row.probe.label:{wide}}{row.level:>7}{row.own_similarity_base:8.3f}"
        f"{row.own_similarity_run:8.3f}{signed(row.beyond_controls, 2):^24}{row.sign_flip_p:9.2g}"
        f"{counts:>14}{flagged:>18}{points(row.excess.difference if row.excess else None):^30}"
    )


def how_to_read(differences: Iterable[Difference]) -> str:
    """What the numbers of a comparison are, and are not."""
    rows = list(differences)
    noisy = any(row.input == COPY for row in rows)
    known = sorted({row.attack for row in rows if row.is_membership})
    more = [OF_COPIES] if noisy else []
    more += [OF_MEMBERSHIP.format(name) for name in known]
    return " ".join([LIMITS, *more])


def wrap(title: str, sentences: Sequence[str]) -> list[str]:
    """A title and a list of sentences under it, or nothing."""
    if not sentences:
        return []
    folded = [
        line
        for sentence in sentences
        for line in textwrap.wrap(
            shown(sentence),
            WIDTH,
            initial_indent="  - ",
            subsequent_indent="    ",
            break_long_words=False,
            break_on_hyphens=False,  # of paths
        )
    ]
    return ["", title, *folded]

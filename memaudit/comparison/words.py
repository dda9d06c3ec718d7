"""A comparison in words and as a table."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from memaudit.comparison.intervals import CONFIDENCE
from memaudit.comparison.judgement import points, signed
from memaudit.comparison.modes import ModeEvidence
from memaudit.comparison.records import COLUMNS, Difference
from memaudit.run.finished import FinishedRun
from memaudit.statistics import CLEAN, COPY, ONE_STEP, of_images, preferred, query_of

WIDTH = 118
ASKED = {CLEAN: "", COPY: ", asked for its noisy copies"}
LIMITS = (
    "Read it so: differences are the run's value minus the base's, over the same images and draws; "
    f"intervals are of {CONFIDENCE:.1%}, images resampled. A win is a member that comes back less "
    "closely from the run than from the base; + are members flagged in the run alone, - in the "
    "base alone. 'Less' means less than the other under this attack at this noise, and does not "
    "say that nothing was memorized."
)
OF_COPIES = (
    "Where noisy copies were asked for, own similarity is the correlation of what came back with "
    "the frozen noise of the copy."
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
    said = []
    for query, asked in ASKED.items():
        each = [one for one in modes if query_of(one.reconstruction) == query]
        for run in dict.fromkeys(one.run for one in each):
            by_name = {of_images(one.reconstruction): one for one in each if one.run == run}
            one_step = by_name.pop(ONE_STEP, None)
            if one_step is not None and by_name:
                full = by_name[preferred(by_name)]
                said.append(f"{run}{asked}: {_against_one_step(full, one_step)}")
        whole = [
            row
            for row in differences
            if row.sigma is None and query_of(row.reconstruction) == query
        ]
        for base, run in dict.fromkeys((row.base, row.run) for row in whole):
            found = {r.reconstruction: r for r in whole if (r.base, r.run) == (base, run)}
            if len({_favoured(row) for row in found.values()}) > 1:
                by_mode = ", ".join(f"by {mode} {_favoured(row)}" for mode, row in found.items())
                said.append(f"{run} against {base}: the reconstructions disagree ({by_mode})")
    return said


def _favoured(row: Difference) -> str:
    """What the intervals of a row show, whether or not that tells who memorizes less."""
    return row.direction if row.lesser is None else f"less of {row.lesser}"


def _against_one_step(full: ModeEvidence, one_step: ModeEvidence) -> str:
    shown = f"{of_images(full.reconstruction)} {_shown(full)}, one step {_shown(one_step)}"
    if full.evidence and not one_step.evidence:
        return f"one step exonerates what full sampling convicts ({shown}); rely on full sampling"
    if one_step.evidence and not full.evidence:
        return f"one step gives evidence where full sampling shows nothing ({shown})"
    both = "both give evidence" if full.evidence else "neither gives evidence"
    return f"one step and full sampling agree, {both} ({shown})"


def _shown(one: ModeEvidence) -> str:
    return (
        f"{one.flagged} of {one.members} flagged, smallest q {one.min_q:.3g}, "
        f"data-set p {one.dataset_p:.2g}"
    )


def of_quality(runs: Sequence[FinishedRun]) -> list[str]:
    """Quality of each run's images, how to get it where it is missing, and what cannot be told."""
    said = [_quality(run) for run in dict.fromkeys(runs)]
    kinds = dict.fromkeys(q.kind for run in runs if (q := run.quality) and q.frechet)
    if len(kinds) > 1:
        each = "; ".join(f"{n} images, {steps} steps of {sampler}" for n, steps, sampler in kinds)
        said.append(
            f"these Frechet distances cannot be compared ({each}): their bias depends on the "
            "number of images, and the picture leaves out those unlike the first; give every scan "
            "the same --generate and --sampler"
        )
    return said


def _quality(run: FinishedRun) -> str:
    quality = run.quality
    if quality is None:
        return (
            f"{run.name}: quality unknown; give its scan command once more with --generate 500, it "
            "continues and adds it"
        )
    if quality.frechet is None:
        return f"{run.name}: quality not measured: {quality.reason}"
    few = "" if quality.n > quality.dimensions else " (biased upwards: few images)"
    return (
        f"{run.name}: Frechet distance {quality.frechet:.4g}{few} of {quality.n} images and as "
        f"many controls, kernel distance {quality.kid:.3g} (deviation {quality.kid_std:.2g}), "
        f"precision {quality.precision:.0%}, recall {quality.recall:.0%}"
    )


def describe_runs(runs: Sequence[FinishedRun]) -> list[str]:
    """Name each run, its directory, its model and its verdict."""
    return [
        f"  {run.name}: {run.path}, model {run.model}; {run.outcome}" for run in dict.fromkeys(runs)
    ]


def lay_out(differences: Sequence[Difference]) -> list[str]:
    """Lay the differences of one pair of runs out as a table for people."""
    if not differences:
        return ["  no member was scored in both"]
    head = (
        f"  {'':15}{'':>7}{'own similarity':^16}{'beyond controls':^24}{'sign':>9}"
        f"{'win/tie/loss':>14}{'flagged':>18}{'excess above controls':^30}",
        f"  {'':15}{'sigma':>7}{'base':>8}{'run':>8}{'difference':^24}{'flip p':>9}"
        f"{'':>14}{'base, run (+ -)':>18}{'difference':^30}",
    )
    return [*head, *(_line(row) for row in differences)]


def _line(row: Difference) -> str:
    counts = f"{row.wins}/{row.ties}/{row.losses}"
    flags = row.flags
    flagged = f"{flags.base}, {flags.run} (+{flags.newly} -{flags.no_longer})" if flags else "-"
    return (
        f"  {row.reconstruction:15}{row.level:>7}{row.own_similarity_base:8.3f}"
        f"{row.own_similarity_run:8.3f}{signed(row.beyond_controls, 2):^24}{row.sign_flip_p:9.2g}"
        f"{counts:>14}{flagged:>18}{points(row.excess.difference if row.excess else None):^30}"
    )


def how_to_read(differences: Iterable[Difference]) -> str:
    """What the numbers of a comparison are, and are not."""
    noisy = any(query_of(row.reconstruction) == COPY for row in differences)
    return f"{LIMITS} {OF_COPIES}" if noisy else LIMITS


def wrap(title: str, sentences: Sequence[str]) -> list[str]:
    """A title and a list of sentences under it, or nothing."""
    if not sentences:
        return []
    folded = [
        line
        for sentence in sentences
        for line in textwrap.wrap(
            sentence,
            WIDTH,
            initial_indent="  - ",
            subsequent_indent="    ",
            break_long_words=False,
            break_on_hyphens=False,  # of paths
        )
    ]
    return ["", title, *folded]

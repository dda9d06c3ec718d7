"""A comparison in words and as a table."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from memaudit.reports.finished import FinishedRun
from memaudit.stages.calibrate import preferred
from memaudit.stages.compare import COLUMNS, CONFIDENCE, Difference, Interval, ModeEvidence

WIDTH = 118
ONE_STEP = "one-step"
LIMITS = (
    "Read it so: differences are the run's value minus the base's, over the same images and draws; "
    f"intervals are of {CONFIDENCE:.1%}, images resampled. A win is a member that comes back less "
    "closely from the run than from the base. 'Less' means less than the other under this attack "
    "at this noise, and does not say that nothing was memorized."
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


def judge(row: Difference, runs: Sequence[FinishedRun]) -> str:
    """Say which of two runs memorizes less, by how much and how surely.

    One that memorized the noisy copies it was trained on brings those back and not the clean
    images: it is not said to memorize less.
    """
    run, base = row.run, row.base
    copies = {
        one.name: one.of_copies.flagged
        for one in runs
        if one.of_copies is not None and one.of_copies.memorized
    }
    if row.direction == "inconclusive" and row.ties == row.members:
        return f"inconclusive: {run} and {base} bring all {row.members} members back alike"
    said = {
        "less": f"{run} memorizes less than {base}",
        "more": f"{run} memorizes more than {base}",
        "mixed": f"mixed: {run} memorizes less than {base} by one measure and more by the other",
        "inconclusive": f"inconclusive whether {run} memorizes less or more than {base}",
    }[row.direction]
    if row.direction == "less" and run in copies:
        said = (
            f"{run} brings clean images back less closely than {base}, but memorized its noisy "
            "copies: which of the two memorizes less is not told"
        )
    if row.direction == "more" and base in copies:
        said = (
            f"{run} brings clean images back more closely than {base}, which memorized its noisy "
            "copies: which of the two memorizes less is not told"
        )
    if row.beyond_controls is None:
        return f"{said}: there are no controls that both share"
    parts = [f"own similarity of members beyond that of controls {_signed(row.beyond_controls, 3)}"]
    if row.excess:
        parts.append(f"excess above controls {_points(row.excess.difference)}")
    parts.append(f"sign-flip p {row.sign_flip_p:.2g} over {row.members} members")
    parts += [
        f"{count} members of {name} flagged by their noisy copies"
        for name, count in copies.items()
        if name in (run, base)
    ]
    return f"{said} ({row.reconstruction}): {'; '.join(parts)}"


def chief(differences: Sequence[Difference]) -> Difference | None:
    """Choose the difference that the sentence is about: all levels, fullest sampling."""
    whole = {row.reconstruction: row for row in differences if row.sigma is None}
    return whole[preferred(whole)] if whole else None


def between_modes(modes: Sequence[ModeEvidence], differences: Sequence[Difference]) -> list[str]:
    """Say where one step and full sampling disagree, run by run and in the comparison."""
    said = []
    for run in dict.fromkeys(one.run for one in modes):
        by_name = {one.reconstruction: one for one in modes if one.run == run}
        one_step = by_name.pop(ONE_STEP, None)
        if one_step is not None and by_name:
            said.append(_against_one_step(by_name[preferred(by_name)], one_step))
    whole = [row for row in differences if row.sigma is None]
    for pair in dict.fromkeys((row.base, row.run) for row in whole):
        found = {r.reconstruction: r.direction for r in whole if (r.base, r.run) == pair}
        if len(set(found.values())) > 1:
            each = ", ".join(f"by {mode} {direction}" for mode, direction in found.items())
            said.append(f"{pair[1]} against {pair[0]}: the reconstructions disagree ({each})")
    return said


def _against_one_step(full: ModeEvidence, one_step: ModeEvidence) -> str:
    run, shown = full.run, f"{full.reconstruction} {_shown(full)}, one step {_shown(one_step)}"
    if full.evidence and not one_step.evidence:
        return (
            f"{run}: one step exonerates what full sampling convicts ({shown}); rely on full "
            "sampling"
        )
    if one_step.evidence and not full.evidence:
        return f"{run}: one step gives evidence where full sampling shows nothing ({shown})"
    both = "both give evidence" if full.evidence else "neither gives evidence"
    return f"{run}: one step and full sampling agree, {both} ({shown})"


def _shown(one: ModeEvidence) -> str:
    return (
        f"{one.flagged} of {one.members} flagged, smallest q {one.min_q:.3g}, "
        f"data-set p {one.dataset_p:.2g}"
    )


def of_quality(runs: Sequence[FinishedRun]) -> list[str]:
    """Quality of each run's images, how to get it where it is missing, and what cannot be told."""
    said = [_quality(run) for run in dict.fromkeys(runs)]
    kinds = {(q.n, q.steps, q.sampler) for run in runs if (q := run.quality) and q.frechet}
    if len(kinds) > 1:
        each = "; ".join(f"{n} images, {steps} steps of {sampler}" for n, steps, sampler in kinds)
        said.append(
            f"these Frechet distances cannot be compared ({each}): their bias depends on the "
            "number of images; give every scan the same --generate and --sampler"
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
    """Name each run, its model and its verdict."""
    return [f"  {run.name}: {run.model}; {run.outcome}" for run in dict.fromkeys(runs)]


def lay_out(differences: Sequence[Difference]) -> list[str]:
    """Lay the differences of one pair of runs out as a table for people."""
    if not differences:
        return ["  no member was scored in both"]
    head = (
        f"  {'':10}{'':>8}{'own similarity':^16}{'beyond controls':^24}{'sign':>9}"
        f"{'win/tie/loss':>15}{'flagged':>14}{'excess above controls':^30}",
        f"  {'':10}{'sigma':>8}{'base':>8}{'run':>8}{'difference':^24}{'flip p':>9}"
        f"{'':>15}{'base, run':>14}{'difference':^30}",
    )
    return [*head, *(_line(row) for row in differences)]


def _line(row: Difference) -> str:
    counts = f"{row.wins}/{row.ties}/{row.losses}"
    flagged = f"{row.flags.base}, {row.flags.run}" if row.flags else "-"
    return (
        f"  {row.reconstruction:10}{row.level:>8}{row.own_similarity_base:8.3f}"
        f"{row.own_similarity_run:8.3f}{_signed(row.beyond_controls, 2):^24}{row.sign_flip_p:9.2g}"
        f"{counts:>15}{flagged:>14}{_points(row.excess.difference if row.excess else None):^30}"
    )


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


def _signed(one: Interval | None, digits: int) -> str:
    if one is None:
        return "-"
    return f"{one.estimate:+.{digits}f} ({one.low:+.{digits}f} .. {one.high:+.{digits}f})"


def _points(one: Interval | None) -> str:
    return "-" if one is None else f"{one.estimate:+.1%} ({one.low:+.1%} .. {one.high:+.1%})"

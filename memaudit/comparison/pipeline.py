"""The comparison: read, refuse what is unlike, pair, compare, say, write. No model is loaded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

from memaudit.comparison.difference import Asked, compare_pairs
from memaudit.comparison.finished import FinishedRun, read_run
from memaudit.comparison.fit import refuse_unlike, shared_probes
from memaudit.comparison.modes import ModeEvidence, mode_evidence
from memaudit.comparison.names import short_names
from memaudit.comparison.pairing import pair
from memaudit.comparison.records import Difference
from memaudit.comparison.remarks import few_controls, remarks, untold
from memaudit.comparison.result import Comparison, ComparisonResult
from memaudit.comparison.shares import Distribution, distributions, shares
from memaudit.comparison.words import difference_table
from memaudit.comparison.write import write
from memaudit.config import CompareConfig
from memaudit.progress import Progress, silent
from memaudit.statistics.findings import calibrates, sides_of

CHANGED = (
    ("base", "run that the other is compared with"),
    ("run", "the other run"),
    ("example_id", "the image"),
    ("source", "path of the image inside its data set"),
    ("change", "newly flagged, or no longer flagged, by the findings of the two runs"),
    ("own_similarity_base", "mean own similarity in the base"),
    ("own_similarity_run", "the same in the run"),
    ("q_value_base", "q-value in the base"),
    ("q_value_run", "q-value in the run"),
)


def compare(config: CompareConfig, progress: Progress = silent) -> ComparisonResult:
    """Compare finished runs with the first of them, image by image and draw by draw.

    Reads run directories only. With `config.out`, tables and plots are written there. Raises
    RunDirectoryError for a run that is not finished or not of the same images, seed, size and
    embedder as the first.
    """
    opened = {path: read_run(path) for path in dict.fromkeys(config.runs)}
    for path in config.runs[1:]:
        refuse_unlike(opened[config.runs[0]], opened[path])
    names = short_names(list(opened))
    opened = {path: replace(run, name=names[path]) for path, run in opened.items()}
    base, *others = (opened[path] for path in config.runs)
    comparisons = []
    for done, run in enumerate(others, start=1):
        comparisons.append(_compare(base, run))
        progress("compare", done, len(others))
    found = [one for run in opened.values() for one in _distributions(run)]
    result = ComparisonResult(
        config=config,
        runs=(base, *others),
        comparisons=tuple(comparisons),
        modes=tuple(one for run in opened.values() for one in _modes(run)),
        distributions=tuple(found),
        table=difference_table(row for one in comparisons for row in one.differences),
        shares=shares(found),
        changed=pd.concat([one.changed for one in comparisons], ignore_index=True),
    )
    if config.out is not None:
        write(result, Path(config.out))
    return result


def _compare(base: FinishedRun, run: FinishedRun) -> Comparison:
    sides = sides_of(base.findings, run.findings)
    config = base.record.config
    asked = Asked(base.name, run.name, config.calibration.q, config.attack.seed)
    differences: list[Difference] = []
    for probe in shared_probes(base, run):
        pairs = pair(base.scores, run.scores, sides, probe, base.primaries[probe.attack])
        differences += compare_pairs(pairs, replace(asked, untold=untold(base, run, probe)))
    said = (*remarks(base, run), *few_controls(differences))
    return Comparison(base, run, tuple(differences), _changed(base, run), said)


def _changed(base: FinishedRun, run: FinishedRun) -> pd.DataFrame:
    """Members that the findings of one of the two runs flag, and those of the other do not."""
    kept = ["example_id", "source", "own_similarity", "q_value", "flagged"]
    before, after = (
        one.findings[calibrates(one.findings) & (one.findings["split"] == "member")][kept]
        for one in (base, run)
    )
    both = before.merge(
        after.drop(columns="source"), on="example_id", suffixes=("_base", "_run"), how="inner"
    )
    both = both[both["flagged_base"] != both["flagged_run"]]
    both = both.assign(
        base=base.name,
        run=run.name,
        change=both["flagged_run"].map({True: "newly flagged", False: "no longer flagged"}),
    )
    ordered = both.sort_values(["change", "example_id"], ignore_index=True)
    named: pd.DataFrame = ordered[[name for name, _ in CHANGED]]
    return named


def _modes(run: FinishedRun) -> list[ModeEvidence]:
    sides = sides_of(run.findings)
    q = run.record.config.calibration.q
    return mode_evidence(run.name, run.reconstructions, sides, run.primaries, q)


def _distributions(run: FinishedRun) -> list[Distribution]:
    return list(distributions(run.name, run.reconstructions, sides_of(run.findings)))

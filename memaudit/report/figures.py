"""The figures of a report."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from memaudit.records import CLEAN
from memaudit.report.checks import duplicates, exchangeability, power
from memaudit.report.covering import covering
from memaudit.report.curves import SIDES, distribution, roc, similarity
from memaudit.report.figure import Figure, levels_of
from memaudit.report.inference import inference
from memaudit.run.record import Record
from memaudit.statistics.findings import calibrates


def figures(record: Record, findings: pd.DataFrame) -> Iterator[Figure]:
    """All that can be drawn of a scan."""
    scored = findings[calibrates(findings) & findings["score"].notna()]
    made = covering(record).made
    sides = {name: scored[scored["split"] == name] for name, _ in SIDES}
    if len(sides["member"]):
        yield distribution(sides, "reproduction_score", f"Score by {made}")
        if record.prepared.membership is not None:
            yield distribution(sides, "score", "Score of membership")
        if sides["member"]["own_similarity"].notna().any():
            yield distribution(sides, "own_similarity", f"Similarity of {made} and image")
    levels = [one for one in levels_of(record) if one.input == CLEAN]
    if any(level.own_similarity_members is not None for level in levels):
        yield similarity(levels, record.prepared.embedder.copy_threshold, covering(record))
    if all(map(len, sides.values())):
        by_side = (rows["reproduction_score"].to_numpy(float) for rows in sides.values())
        yield roc(record, *map(np.sort, by_side))
    yield from power(record)
    yield from exchangeability(record)
    yield from inference(record)
    yield duplicates(findings)

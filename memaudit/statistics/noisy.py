"""What each query of a model of noisy data shows by itself, and what its findings rest on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from memaudit.statistics.adaptive import pooled_scores, screened
from memaudit.statistics.combine import pooled_reconstruction
from memaudit.statistics.conduct import NoisyTraining
from memaudit.statistics.dataset import DatasetTest, dataset_test
from memaudit.statistics.effects import auc
from memaudit.statistics.entities import Sides, calibrating
from memaudit.statistics.options import Options
from memaudit.statistics.queries import QueryResult, column_of, names_in

Alone = tuple[DatasetTest | None, float | None]  # and AUC


def with_queries(
    training: NoisyTraining,
    findings: pd.DataFrame,
    scores: pd.DataFrame,
    pool: pd.DataFrame,
    options: Options,
) -> NoisyTraining:
    """Add what each query shows, where noisy copies were queried."""
    by_query = pooled_scores(scores, options.column, options.reconstruction)
    full = scores[~screened(scores)]
    names = names_in(full, pooled_reconstruction(full, options.reconstruction))
    if by_query.shape[1] == 1:
        return training
    rested = findings.loc[findings["flagged"] & findings["representative"], "query"]
    sides = calibrating(pool, pd.Index(scores["example_id"].unique()))
    results = [
        QueryResult(
            query,
            column_of(name, options.column),
            int((rested == query).sum()),
            *_alone(by_query[query], sides, options),
        )
        for query, name in names.items()
    ]
    return replace(training, by_query=tuple(results))


def joint_test(training: NoisyTraining | None) -> DatasetTest | None:
    """The data-set test of the query that tells more, its p times their number; None for one."""
    tests = [one.test for one in training.by_query if one.test] if training else []
    if not tests:
        return None
    best = min(tests, key=lambda test: test.p_value)
    return replace(best, p_value=min(1.0, len(tests) * best.p_value))


def rests_on(training: NoisyTraining) -> str:
    """How many of the flagged rest on which query, in words."""
    return ", ".join(f"{one.flagged} by the {one.query}" for one in training.by_query)


def _alone(score: pd.Series[float], sides: Sides, options: Options) -> Alone:
    if not (sides.members and sides.controls):
        return None, None
    members, controls = (
        np.asarray(score[list(ids)], np.float64) for ids in (sides.members, sides.controls)
    )
    test = dataset_test(members, controls, options.rounds, options.seed)
    return test, auc(members, controls)

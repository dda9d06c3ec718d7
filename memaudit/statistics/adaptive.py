"""One score an image, also where only the images that stand out were scanned in full."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd

from memaudit.records import CLEAN, COPY, FULL, SCREEN, Primary
from memaudit.statistics.combine import combine, input_scores, standardise
from memaudit.statistics.probes import Probe, first_pass

OUTSTANDING = 3.0  # spreads above the median of the first pass: promoted, however many


def pooled_score(
    scores: pd.DataFrame, primary: Primary, claims: tuple[Primary, ...] = ()
) -> pd.Series[float]:
    """One score per example, by id; of an adaptive scan, first the stage reached, then the score.

    Promoted examples, ranked by their full scores, all stand above the others, ranked by the first
    pass. No label is looked at, so conformal p-values stay exact. The first pass may be of another
    of the `claims`. Raises as `combine` does.
    """
    return pooled_scores(scores, primary, claims).max(axis=1).rename("score")


def pooled_scores(
    scores: pd.DataFrame, primary: Primary, claims: tuple[Primary, ...] = ()
) -> pd.DataFrame:
    """The score of each example under each input, [example, input], with stages as above."""
    screen, rows = scores[first_pass(scores)], scores[of_attack(scores, primary)]
    if screen.empty:
        return input_scores(scores, primary)
    if rows["example_id"].nunique() == scores["example_id"].nunique():
        return input_scores(rows, primary)
    first = input_scores(screen, screening(screen, (primary, *claims)), SCREEN)
    full = input_scores(rows, primary)
    inputs = list(dict.fromkeys([*first, *full]))
    score = first.reindex(columns=inputs, fill_value=0.0)
    score.loc[full.index] = full.reindex(columns=inputs) - full.min() + score.max() + 1
    return score


def claim_scores(scores: pd.DataFrame, claims: tuple[Primary, ...]) -> pd.DataFrame:
    """The scores that claims rest on, [example, Probe]: of each attack, of each of its inputs."""
    named = []
    for claim in claims:
        one = pooled_scores(scores, claim, claims)
        probes = [Probe(claim.attack, of) for of in (CLEAN, COPY) if of in one]
        named.append(one.set_axis(pd.Index(probes), axis=1))
    return pd.concat(named, axis=1)


def promoted(scores: pd.DataFrame, primary: Primary) -> list[str]:
    """Ids that were scanned in full, ascending: without a first pass, all."""
    return sorted(scores.loc[of_attack(scores, primary), "example_id"].unique())


def of_attack(scores: pd.DataFrame, primary: Primary) -> pd.Series[bool]:
    """Which rows are of the full pass of an attack."""
    return (scores["attack"] == primary.attack) & (scores["phase"] == FULL)


def screening(screen: pd.DataFrame, claims: tuple[Primary, ...]) -> Primary:
    """What is pooled of a first pass: as of the claim that its attack is of, else of the first."""
    attack = str(screen["attack"].iloc[0])
    by_name = {claim.attack: claim for claim in claims}
    return by_name.get(attack) or replace(claims[0], attack=attack)


def outstanding(screen: pd.DataFrame, claims: tuple[Primary, ...], fraction: float) -> list[str]:
    """Ids that a first pass promotes, the most suspicious first; ties by id.

    A fraction of all, and whatever else stands far above the median: of a model that memorized a
    large part of the pool, more than the fraction. No label is looked at.
    """
    score = combine(screen, screening(screen, claims), SCREEN).round(5)
    spreads = standardise(np.asarray(score, np.float64)[:, None])[:, 0]
    wanted = max(math.ceil(fraction * len(score)), int((spreads > OUTSTANDING).sum()))
    ordered = score.sort_index().sort_values(ascending=False, kind="stable")
    return [str(example_id) for example_id in ordered.index[:wanted]]

"""One score an image, also where only the images that stand out were scanned in full."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import takewhile

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
    by_screen = _seen_by(primary, screen, claims)
    first = input_scores(screen[screen["attack"] == by_screen.attack], by_screen, SCREEN)
    full = input_scores(rows[rows["example_id"].isin(promoted(scores, primary, claims))], primary)
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


def promoted(scores: pd.DataFrame, primary: Primary, claims: tuple[Primary, ...] = ()) -> list[str]:
    """Ids that an adaptive scan promoted, the highest first pass first.

    They are the longest run from the top of the first pass all of which was scanned in full: a
    function of the unlabelled pool. Images below it that were scanned in full were drawn at random,
    to show how images come back that did not stand out. Without a first pass, all ids.
    """
    screen = scores[first_pass(scores)]
    in_full = set(scores.loc[of_attack(scores, primary), "example_id"])
    if screen.empty:
        return sorted(in_full)
    return list(takewhile(in_full.__contains__, outstanding(screen, claims or (primary,), 1.0)))


def of_attack(scores: pd.DataFrame, primary: Primary) -> pd.Series[bool]:
    """Which rows are of the full pass of an attack."""
    return (scores["attack"] == primary.attack) & (scores["phase"] == FULL)


def outstanding(screen: pd.DataFrame, claims: tuple[Primary, ...], fraction: float) -> list[str]:
    """Ids that a first pass promotes, the most suspicious first; ties by id.

    Those that stand highest by the sum of what its attacks show: a fraction of all, and whatever
    else stands far above the median. Of a model that memorized a large part of the pool that is
    more than the fraction. No label is looked at.
    """
    each = [
        combine(rows, _named(str(attack), claims), SCREEN)
        for attack, rows in screen.groupby("attack")
    ]
    table = pd.concat(each, axis=1)
    total = standardise(table.to_numpy(np.float64)).sum(axis=1)
    spreads = standardise(total[:, None])[:, 0]
    wanted = max(math.ceil(fraction * len(table)), int((spreads > OUTSTANDING).sum()))
    score = pd.Series(total.round(5), index=table.index).sort_index()
    ordered = score.sort_values(ascending=False, kind="stable")
    return [str(example_id) for example_id in ordered.index[:wanted]]


def _seen_by(primary: Primary, screen: pd.DataFrame, claims: tuple[Primary, ...]) -> Primary:
    """What ranks images in a first pass as a claim does: its own attack, or a reconstruction."""
    attacks = [str(name) for name in screen["attack"].unique()]
    if primary.attack in attacks:
        return primary
    others = {claim.attack for claim in claims}
    first = next((name for name in attacks if name not in others), attacks[0])
    return _named(first, (primary, *claims))


def _named(attack: str, claims: tuple[Primary, ...]) -> Primary:
    """What is pooled of an attack in a first pass; of a reconstruction as of the first claim."""
    by_name = {claim.attack: claim for claim in claims}
    return by_name.get(attack) or replace(claims[0], attack=attack)

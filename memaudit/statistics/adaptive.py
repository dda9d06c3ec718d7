"""One score an image, also where only the images that stand out were scanned in full."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import takewhile

import numpy as np
import pandas as pd

from memaudit.records import CLEAN, COPY, FULL, SCREEN, Primary
from memaudit.statistics.combine import combine, input_scores, standardise
from memaudit.statistics.probes import Probe, first_pass

OUTSTANDING = 3.0  # spreads above the median of the first pass: promoted, however many


def pooled_score(scores: pd.DataFrame, primary: Primary) -> pd.Series[float]:
    """One score per example, by id; of an adaptive scan, first the stage reached, then the score.

    Promoted examples, ranked by their full scores, all stand above the others, ranked by the first
    pass. No label is looked at, so conformal p-values stay exact. Raises as `combine` does.
    """
    return pooled_scores(scores, primary).max(axis=1).rename("score")


def pooled_scores(scores: pd.DataFrame, primary: Primary) -> pd.DataFrame:
    """The score of each example under each input, [example, input], with stages as above."""
    return next(_by_claim(scores, (primary,)))


def claim_scores(scores: pd.DataFrame, claims: tuple[Primary, ...]) -> pd.DataFrame:
    """The scores that claims rest on, [example, Probe]: of each attack, of each of its inputs."""
    named = []
    for claim, one in zip(claims, _by_claim(scores, claims), strict=True):
        probes = [Probe(claim.attack, of) for of in (CLEAN, COPY) if of in one]
        named.append(one.set_axis(pd.Index(probes), axis=1))
    return pd.concat(named, axis=1)


def promoted(scores: pd.DataFrame, claims: tuple[Primary, ...]) -> list[str]:
    """Ids that an adaptive scan promoted, the highest first pass first.

    They are the longest run from the top of the first pass all of which was scanned in full, by the
    attack of the first of the claims: a function of the unlabelled pool. Images below it that were
    scanned in full were drawn at random, to show how images come back that did not stand out.
    Without a first pass, all ids.
    """
    screen = scores[first_pass(scores)]
    in_full = set(scores.loc[of_attack(scores, claims[0]), "example_id"])
    if screen.empty:
        return sorted(in_full)
    return list(takewhile(in_full.__contains__, outstanding(screen, claims, 1.0)))


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


def _by_claim(scores: pd.DataFrame, claims: tuple[Primary, ...]) -> Iterator[pd.DataFrame]:
    """The scores of each claim, [example, input], in stages where there was a first pass."""
    screen = scores[first_pass(scores)]
    if screen.empty:
        yield from (input_scores(scores, claim) for claim in claims)
        return
    chosen = scores["example_id"].isin(promoted(scores, claims))
    images = scores["example_id"].nunique()
    for claim in claims:
        asked = of_attack(scores, claim)
        if scores.loc[asked, "example_id"].nunique() == images:
            yield input_scores(scores[asked], claim)
        else:
            yield _in_stages(screen, scores[asked & chosen], claim, claims)


def _in_stages(
    screen: pd.DataFrame, rows: pd.DataFrame, claim: Primary, claims: tuple[Primary, ...]
) -> pd.DataFrame:
    """The first pass of all, and above it the full scores of the promoted."""
    seen_by = _seen_by(claim, screen, claims)
    first = input_scores(screen[screen["attack"] == seen_by.attack], seen_by, SCREEN)
    full = input_scores(rows, claim)
    inputs = list(dict.fromkeys([*first, *full]))
    score = first.reindex(columns=inputs, fill_value=0.0)
    score.loc[full.index] = full.reindex(columns=inputs) - full.min() + score.max() + 1
    return score


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

"""One score an image, also where only the most suspicious images were scanned in full."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import takewhile

import pandas as pd

from memaudit.records import CLEAN, COPY, FULL, SCREEN, Primary
from memaudit.statistics.combine import combine, input_scores
from memaudit.statistics.probes import Probe, first_pass


@dataclass(frozen=True, eq=False)
class _Stages:
    """The first pass, with the attack that made it, and the full scores of the promoted."""

    screen: pd.DataFrame
    by_screen: Primary
    full: pd.DataFrame

    @classmethod
    def of(cls, scores: pd.DataFrame, primary: Primary) -> _Stages:
        first = first_pass(scores)
        in_full = of_attack(scores, primary) & scores["example_id"].isin(promoted(scores, primary))
        return cls(scores[first], _screening(scores[first], primary), scores[in_full])


def _screening(screen: pd.DataFrame, primary: Primary) -> Primary:
    return replace(primary, attack=str(screen["attack"].iloc[0]))


def pooled_score(scores: pd.DataFrame, primary: Primary) -> pd.Series[float]:
    """One score per example, by id; of an adaptive scan, first the stage reached, then the score.

    Promoted examples, ranked by their full scores, all stand above the others, ranked by the first
    pass. No label is looked at, so conformal p-values stay exact. Raises as `combine` does.
    """
    return pooled_scores(scores, primary).max(axis=1).rename("score")


def pooled_scores(scores: pd.DataFrame, primary: Primary) -> pd.DataFrame:
    """The score of each example under each input, [example, input], with stages as above."""
    if not first_pass(scores).any():
        return input_scores(scores, primary)
    stages = _Stages.of(scores, primary)
    screen = input_scores(stages.screen, stages.by_screen, SCREEN)
    full = input_scores(stages.full, primary)
    inputs = list(dict.fromkeys([*screen, *full]))
    score = screen.reindex(columns=inputs, fill_value=0.0)
    score.loc[full.index] = full.reindex(columns=inputs) - full.min() + score.max() + 1
    return score


def claim_scores(scores: pd.DataFrame, claims: tuple[Primary, ...]) -> pd.DataFrame:
    """The scores that claims rest on, [example, Probe]: of each attack, of each of its inputs.

    The first attack is the one that an adaptive scan runs in full on the promoted alone.
    """
    first, *others = claims
    by_claim = [pooled_scores(scores, first)]
    by_claim += [input_scores(scores, other) for other in others]
    named = [
        one.set_axis(
            pd.Index([Probe(claim.attack, of) for of in (CLEAN, COPY) if of in one]), axis=1
        )
        for claim, one in zip(claims, by_claim, strict=True)
    ]
    return pd.concat(named, axis=1)


def promoted(scores: pd.DataFrame, primary: Primary) -> list[str]:
    """Ids that an adaptive scan promoted, the highest first pass first.

    They are the longest run from the top of the first pass all of which was scanned in full: a
    function of the unlabelled pool. Without a first pass, all ids.
    """
    first = first_pass(scores)
    if not first.any():
        return sorted(scores["example_id"].unique())
    in_full = set(scores.loc[of_attack(scores, primary), "example_id"])
    return list(takewhile(in_full.__contains__, screening_order(scores[first], primary)))


def of_attack(scores: pd.DataFrame, primary: Primary) -> pd.Series[bool]:
    """Which rows are of the full pass of an attack."""
    return (scores["attack"] == primary.attack) & (scores["phase"] == FULL)


def screening_order(screen: pd.DataFrame, primary: Primary) -> list[str]:
    """Ids of a first pass, the most suspicious first; ties by id."""
    score = combine(screen, _screening(screen, primary), SCREEN)
    ordered = score.round(5).sort_index().sort_values(ascending=False, kind="stable")
    return [str(example_id) for example_id in ordered.index]


def agreement(screen: pd.DataFrame, full: pd.DataFrame, primary: Primary) -> float:
    """Spearman's rank correlation of a first pass with the full score of the same examples."""
    cheap = combine(screen, _screening(screen, primary), SCREEN)
    both = pd.DataFrame({"screen": cheap, "full": combine(full, primary)})
    if (both.nunique() < 2).any():
        return 0.0
    return float(both["screen"].corr(both["full"], method="spearman"))

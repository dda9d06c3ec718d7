"""One score an image, also where only the most suspicious images were scanned in full."""

from __future__ import annotations

from itertools import takewhile

import pandas as pd

from memaudit.statistics.combine import combine, query_scores
from memaudit.statistics.queries import of_copies, of_images

# First passes of an adaptive scan, cheapest first, as `reconstruction` names them.
SCREENS = ("screen one-step", "screen few-step")


def screened(scores: pd.DataFrame) -> pd.Series[bool]:
    """Which rows are of a first pass."""
    return scores["reconstruction"].isin([*SCREENS, *map(of_copies, SCREENS)])


def first_pass(screen: pd.DataFrame) -> str:
    """The name of the first pass that these rows are of."""
    return of_images(str(screen["reconstruction"].iloc[0]))


def pooled_score(
    scores: pd.DataFrame, column: str = "margin", reconstruction: str | None = None
) -> pd.Series[float]:
    """One score per example, by id; of an adaptive scan, first the stage reached, then the score.

    Promoted examples, ranked by their full scores, all stand above the others, ranked by the first
    pass. No label is looked at, so conformal p-values stay exact. Raises as `combine` does.
    """
    first = screened(scores)
    if not first.any():
        return combine(scores, column, reconstruction)
    screen = combine(scores[first], column, first_pass(scores[first]))
    chosen = promoted(scores, column)
    full = combine(scores[~first & scores["example_id"].isin(chosen)], column, reconstruction)
    score = screen.copy()
    score[full.index] = full - full.min() + screen.max() + 1
    return score


def pooled_scores(
    scores: pd.DataFrame, column: str = "margin", reconstruction: str | None = None
) -> pd.DataFrame:
    """The score of each example under each query, [example, query], with stages as above."""
    first = screened(scores)
    if not first.any():
        return query_scores(scores, column, reconstruction)
    screen = query_scores(scores[first], column, first_pass(scores[first]))
    in_full = scores[~first & scores["example_id"].isin(promoted(scores, column))]
    full = query_scores(in_full, column, reconstruction)
    queries = list(dict.fromkeys([*screen, *full]))
    score = screen.reindex(columns=queries, fill_value=0.0)
    score.loc[full.index] = full.reindex(columns=queries) - full.min() + score.max() + 1
    return score


def promoted(scores: pd.DataFrame, column: str = "margin") -> list[str]:
    """Ids that an adaptive scan promoted, the highest first pass first.

    They are the longest run from the top of the first pass all of which was scanned in full: a
    function of the unlabelled pool. Without a first pass, all ids.
    """
    first = screened(scores)
    if not first.any():
        return sorted(scores["example_id"].unique())
    order = screening_order(scores[first], column)
    in_full = set(scores.loc[~first, "example_id"])
    return list(takewhile(in_full.__contains__, order))


def screening_order(screen: pd.DataFrame, column: str = "margin") -> list[str]:
    """Ids of a first pass, the most suspicious first; ties by id."""
    score = combine(screen, column, first_pass(screen))
    ordered = score.round(5).sort_index().sort_values(ascending=False, kind="stable")
    return [str(example_id) for example_id in ordered.index]


def agreement(screen: pd.DataFrame, full: pd.DataFrame, column: str = "margin") -> float:
    """Spearman's rank correlation of a first pass with the full score of the same examples."""
    name = first_pass(screen)
    both = pd.DataFrame({"screen": combine(screen, column, name), "full": combine(full, column)})
    if (both.nunique() < 2).any():
        return 0.0
    return float(both["screen"].corr(both["full"], method="spearman"))

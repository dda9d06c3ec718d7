"""Levels and draws of an example become one score, without a look at who is a member."""

from __future__ import annotations

from collections.abc import Collection
from typing import NoReturn

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memaudit.errors import InputError
from memaudit.statistics.queries import column_of, names_in

# Full sampling convicts what one step exonerates, and a sampled draw is closer to it than a mean.
ONE_STEP = "one-step"
RECONSTRUCTIONS = ("ode", "sample", ONE_STEP)
LOWER_IS_CLOSER = frozenset(
    {"own_rank", "l2", "tile_l2", "adaptive_l2", "l2_ratio", "distance_ratio"}
)
MAD_TO_SIGMA = 1.4826
# Batch size alone moves a score by about 2e-6 of its size: a level that varies less says nothing.
SMALLEST_SPREAD = 5e-6


def combine(
    scores: pd.DataFrame, column: str = "margin", reconstruction: str | None = None
) -> pd.Series[float]:
    """One score per example: each level standardised by the pool's median and MAD, then averaged.

    An example's draws are averaged first. The pool is every example of `scores`, member or control.
    A level whose MAD is 0 is divided by its standard deviation, and one without any spread counts
    as 0. Columns where lower is closer (l2, ...) are negated, so higher always means closer. Of
    several columns, joined by "+", each is averaged over the levels, divided by the standard
    deviation of that, and added. Only one reconstruction is pooled: `reconstruction`, or the first
    run of ode, sample, one-step.
    Where noisy copies were queried too, the score is the larger of both queries', which ranks and
    promotes; what is tested is each query's score by itself (`query_scores`).

    Returns float64 by example id, ascending. Raises InputError for a value that is not finite, a
    missing or repeated (example, level, draw), or a column or reconstruction that is not there.
    """
    return query_scores(scores, column, reconstruction).max(axis=1).rename("score")


def query_scores(
    scores: pd.DataFrame, column: str = "margin", reconstruction: str | None = None
) -> pd.DataFrame:
    """The score of each example under each query, [example, query], as in `combine`.

    Two queries are standardised once more, so that their values can be compared.
    """
    name = pooled_reconstruction(scores, reconstruction)
    by_query = {
        query: _pooled(closeness(scores, column_of(of_query, column), of_query))
        for query, of_query in names_in(scores, name).items()
    }
    table = pd.DataFrame(by_query)
    return table if len(by_query) == 1 else table.apply(_standardised)


def _standardised(score: pd.Series[float]) -> pd.Series[float]:
    values = np.asarray(score, np.float64)[:, None]
    return pd.Series(standardise(values)[:, 0], index=score.index)


def _pooled(levels: pd.DataFrame) -> pd.Series[float]:
    values = levels.to_numpy(dtype=np.float64)
    score = values.mean(axis=1) if values.size else np.zeros(len(values))
    return pd.Series(score, index=levels.index)


def pooled_reconstruction(scores: pd.DataFrame, asked: str | None = None) -> str:
    """Name the reconstruction that is pooled: the one asked for, or the preferred of those run."""
    if scores.empty:
        return asked or RECONSTRUCTIONS[0]
    return preferred(scores["reconstruction"].unique(), asked)


def preferred(run: Collection[str], asked: str | None = None) -> str:
    """Choose among the reconstructions that were run: the one asked for, or ode, sample, one-step.

    Raises InputError if it is not there.
    """
    for name in (asked,) if asked else RECONSTRUCTIONS:
        if name in run:
            return name
    raise InputError(
        f"the scores hold the reconstructions {sorted(run)}, expected "
        f"{asked or ' or '.join(RECONSTRUCTIONS)}; name one of those that were run"
    )


def closeness(scores: pd.DataFrame, column: str, reconstruction: str) -> pd.DataFrame:
    """Standardise each level, [example, sigma], higher is closer; combine takes the mean of it."""
    names = column.split("+")
    each = [_standard_levels(scores, name, reconstruction) for name in names]
    if len(each) == 1 or each[0].empty:
        return each[0]
    spreads = [float(one.mean(axis=1).std(ddof=0)) for one in each]
    total = sum(
        one / spread if spread > 0 else 0 * one for one, spread in zip(each, spreads, strict=True)
    )
    return pd.DataFrame(total, each[0].index, each[0].columns)


def _standard_levels(scores: pd.DataFrame, column: str, reconstruction: str) -> pd.DataFrame:
    levels = level_means(scores, column, reconstruction)
    closer = -levels if column in LOWER_IS_CLOSER else levels
    if closer.empty:
        return closer
    values = standardise(closer.to_numpy(dtype=np.float64))
    return pd.DataFrame(values, levels.index, levels.columns)


def level_means(scores: pd.DataFrame, column: str, reconstruction: str) -> pd.DataFrame:
    """Average each level's draws: [example, sigma], both ascending.

    Every example of `scores` must have every level and draw of the reconstruction exactly once,
    else InputError.
    """
    if column not in scores:
        raise InputError(f"no score column {column!r}, expected one of {sorted(scores.columns)}")
    chosen = (scores["reconstruction"] == reconstruction).to_numpy()
    codes, ids = pd.factorize(scores["example_id"], sort=True)  # strings are sorted once only
    keys = ["example", "sigma", "draw"]
    rows = scores.loc[chosen, ["sigma", "draw", column]].assign(example=codes[chosen])
    rows = rows.sort_values(keys)  # sums do not depend on the order of the rows
    cells = rows[["sigma", "draw"]].drop_duplicates().sort_values(["sigma", "draw"])
    repeated = (rows[keys].diff() == 0).all(axis=1)
    finite = np.isfinite(rows[column].to_numpy(dtype=np.float64)).all()
    if repeated.any() or not finite or len(rows) != len(ids) * len(cells):
        _refuse(scores[chosen], column, ids)
    values = rows[column].to_numpy(dtype=np.float64).reshape(len(ids), len(cells))
    sigmas, first, draws = np.unique(cells["sigma"], return_index=True, return_counts=True)
    means = np.add.reduceat(values, first, axis=1) / draws if len(cells) else values
    index, columns = pd.Index(ids, name="example_id"), pd.Index(sigmas, name="sigma")
    return pd.DataFrame(means, index=index, columns=columns)


def standardise(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centre each column on its median and divide by its MAD, or standard deviation, or to 0."""
    smallest = SMALLEST_SPREAD * np.median(np.abs(values), axis=0)  # an outlier must not rule it
    offset = values - np.median(values, axis=0)
    spread = MAD_TO_SIGMA * np.median(np.abs(offset), axis=0)
    spread = np.where(spread > smallest, spread, values.std(axis=0))
    return np.divide(offset, spread, out=np.zeros_like(offset), where=spread > smallest)


def _refuse(rows: pd.DataFrame, column: str, ids: pd.Index[str]) -> NoReturn:
    """Say what is wrong with the rows of one reconstruction."""
    wrong = ~np.isfinite(rows[column].to_numpy(dtype=np.float64))
    if wrong.any():
        row = rows[wrong].iloc[0]
        raise InputError(
            f"{column} is {row[column]} at {_place(row)}, expected a finite number; "
            "score this example again, or leave all its rows out to report it as not scored"
        )
    twice = rows.duplicated(["example_id", "sigma", "draw"]).to_numpy()
    if twice.any():
        raise InputError(
            f"{_place(rows[twice].iloc[0])} is there twice, expected once; "
            "merge each shard of scores only once"
        )
    there = rows.assign(there=True).pivot_table(
        index="example_id", columns=["sigma", "draw"], values="there", aggfunc="any"
    )
    row, place = np.argwhere(there.reindex(ids).isna().to_numpy())[0]
    sigma, draw = there.columns[place]
    raise InputError(
        f"example {ids[row]} has no score for reconstruction {rows['reconstruction'].iloc[0]}, "
        f"sigma {sigma}, draw {draw}, expected every level and draw of the others; "
        "finish the scan, or leave all its rows out to report it as not scored"
    )


def _place(row: pd.Series) -> str:
    return (
        f"example {row['example_id']}, reconstruction {row['reconstruction']}, "
        f"sigma {row['sigma']}, draw {row['draw']}"
    )

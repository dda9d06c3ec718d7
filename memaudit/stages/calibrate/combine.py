"""Levels and draws of an example become one score, without a look at who is a member."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memaudit.errors import InputError

# Full sampling convicts what one step exonerates, and a sampled draw is closer to it than a mean.
RECONSTRUCTIONS = ("ode", "sample", "one-step")
LOWER_IS_CLOSER = frozenset({"own_rank", "l2", "tile_l2", "distance_ratio"})
MAD_TO_SIGMA = 1.4826
# Batch size alone moves a score by about 2e-6 of its size: a level that varies less says nothing.
SMALLEST_SPREAD = 5e-6


def combine(
    scores: pd.DataFrame, column: str = "margin", reconstruction: str | None = None
) -> pd.Series[float]:
    """One score per example: each level standardised by the pool's median and MAD, then averaged.

    An example's draws are averaged first. The pool is every example of `scores`, member or control.
    A level whose MAD is 0 is divided by its standard deviation, and one without any spread counts
    as 0. Columns where lower is closer (l2, ...) are negated, so higher always means closer.
    Only one reconstruction is pooled: `reconstruction`, or the first run of ode, sample, one-step.

    Returns float64 by example id, ascending. Raises InputError for a value that is not finite, a
    missing or repeated (example, level, draw), or a column or reconstruction that is not there.
    """
    levels = closeness(scores, column, pooled_reconstruction(scores, reconstruction))
    values = levels.to_numpy(dtype=np.float64)
    score = standardise(values).mean(axis=1) if values.size else np.zeros(len(values))
    return pd.Series(score, index=levels.index, name="score")


def pooled_reconstruction(scores: pd.DataFrame, asked: str | None = None) -> str:
    """Name the reconstruction that is pooled: the one asked for, or the preferred of those run."""
    run = set(scores["reconstruction"].unique())
    if scores.empty:
        return asked or RECONSTRUCTIONS[0]
    for name in (asked,) if asked else RECONSTRUCTIONS:
        if name in run:
            return name
    raise InputError(
        f"the scores hold the reconstructions {sorted(run)}, expected "
        f"{asked or ' or '.join(RECONSTRUCTIONS)}; name one of those that were run"
    )


def closeness(scores: pd.DataFrame, column: str, reconstruction: str) -> pd.DataFrame:
    """Average each level's draws, [example, sigma], negated where lower is closer."""
    levels = level_means(scores, column, reconstruction)
    return -levels if column in LOWER_IS_CLOSER else levels


def level_means(scores: pd.DataFrame, column: str, reconstruction: str) -> pd.DataFrame:
    """Average each level's draws: [example, sigma], both ascending.

    Every example of `scores` must have every level and draw of the reconstruction exactly once,
    else InputError.
    """
    if column not in scores:
        raise InputError(f"no score column {column!r}, expected one of {sorted(scores.columns)}")
    wanted = ["example_id", "reconstruction", "sigma", "draw", column]  # a copy of them, not of all
    rows = scores.loc[scores["reconstruction"] == reconstruction, wanted]
    _check_rows(rows, column)
    wide = rows.pivot(index="example_id", columns=["sigma", "draw"], values=column)
    wide = wide.sort_index(axis="columns")  # sums do not depend on the order of the rows
    wide = wide.reindex(np.unique(scores["example_id"])).rename_axis(index="example_id")
    _check_complete(wide, reconstruction)
    return wide.T.groupby(level="sigma").mean().T


def standardise(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centre each column on its median and divide by its MAD, or standard deviation, or to 0."""
    smallest = SMALLEST_SPREAD * np.abs(values).max(axis=0)
    offset = values - np.median(values, axis=0)
    spread = MAD_TO_SIGMA * np.median(np.abs(offset), axis=0)
    spread = np.where(spread > smallest, spread, values.std(axis=0))
    return np.divide(offset, spread, out=np.zeros_like(offset), where=spread > smallest)


def _check_rows(rows: pd.DataFrame, column: str) -> None:
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


def _check_complete(wide: pd.DataFrame, reconstruction: str) -> None:
    missing = np.argwhere(wide.isna().to_numpy())
    if len(missing):
        row, place = missing[0]
        sigma, draw = wide.columns[place]
        raise InputError(
            f"example {wide.index[row]} has no score for reconstruction {reconstruction}, "
            f"sigma {sigma}, draw {draw}, expected every level and draw of the others; "
            "finish the scan, or leave all its rows out to report it as not scored"
        )


def _place(row: pd.Series) -> str:
    return (
        f"example {row['example_id']}, reconstruction {row['reconstruction']}, "
        f"sigma {row['sigma']}, draw {row['draw']}"
    )

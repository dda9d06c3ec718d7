"""Levels and draws of an example become one score, without a look at who is a member."""

from __future__ import annotations

import math
from typing import NoReturn

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memaudit.errors import InputError
from memaudit.records import CLEAN, FULL, Column, Phase, Primary
from memaudit.statistics.probes import Probe, inputs_in

MAD_TO_SIGMA = 1.4826
# Batch size alone moves a score by about 2e-6 of its size: a level that varies less says nothing.
SMALLEST_SPREAD = 5e-6
LOWEST = -3.0  # spreads that a level can count against an image, see `combine`
DRAWN_IN = 0.01  # share of the values at either end that must not rule a spread,
ENOUGH = 20  # of so many values or more


def combine(scores: pd.DataFrame, primary: Primary, phase: Phase = FULL) -> pd.Series[float]:
    """One score per example: each level standardised by the pool's median and MAD, then averaged.

    An example's draws are averaged first. The pool is every example of `scores`, member or control.
    A level whose MAD is 0 is divided by a standard deviation that no single value rules (see
    `standardise`), and one without any spread counts as 0. Columns where lower is the suspicious
    side (l2, ...) are negated, so higher is always the more suspicious. Of several columns each is
    averaged over the levels, divided by the MAD of that, and added. A level counts at most three
    spreads against an image: a memorizer that takes it for another at strong noise returns that one
    exactly, and one such level must not undo that the image came back at all others.
    Where noisy copies were asked for too, the score is the larger of both inputs', which ranks and
    promotes; what is tested is each input's score by itself (`input_scores`).

    Returns float64 by example id, ascending. Raises InputError for a value that is not finite, a
    missing or repeated (example, level, draw), or a column or attack that is not there.
    """
    return input_scores(scores, primary, phase).max(axis=1).rename("score")


def input_scores(scores: pd.DataFrame, primary: Primary, phase: Phase = FULL) -> pd.DataFrame:
    """The score of each example under each input of `primary`, [example, input], as in `combine`.

    Two inputs are standardised once more, so that their values can be compared.
    """
    asked = inputs_in(scores, primary.attack)
    inputs = [one for one in asked if one in primary.inputs] or [CLEAN]
    if len(scores) and primary.attack not in set(scores["attack"]):
        raise InputError(
            f"the scores hold the attacks {sorted(scores['attack'].unique())}, expected "
            f"{primary.attack}; scan with it"
        )
    probes = {one: Probe(primary.attack, one, phase) for one in inputs}
    by_input = {
        one: _pooled(closeness(scores, primary.of(one), probe)) for one, probe in probes.items()
    }
    table = pd.DataFrame(by_input)
    return table if len(by_input) == 1 else table.apply(_standardised)


def _standardised(score: pd.Series[float]) -> pd.Series[float]:
    values = np.asarray(score, np.float64)[:, None]
    return pd.Series(standardise(values)[:, 0], index=score.index)


def _pooled(levels: pd.DataFrame) -> pd.Series[float]:
    values = levels.to_numpy(dtype=np.float64)
    score = values.mean(axis=1) if values.size else np.zeros(len(values))
    return pd.Series(score, index=levels.index)


def closeness(scores: pd.DataFrame, columns: tuple[Column, ...], probe: Probe) -> pd.DataFrame:
    """Standardise each level, [example, level], higher is suspicious; combine takes its mean."""
    each = [_standard_levels(scores, column, probe) for column in columns]
    if len(each) == 1 or each[0].empty:
        return each[0]
    spreads = [float(spread(one.mean(axis=1).to_numpy()[:, None])[0]) for one in each]
    total = sum(
        one / size if size > 0 else 0 * one for one, size in zip(each, spreads, strict=True)
    )
    return pd.DataFrame(total, each[0].index, each[0].columns)


def _standard_levels(scores: pd.DataFrame, column: Column, probe: Probe) -> pd.DataFrame:
    levels = level_means(scores, column.name, probe)
    closer = levels if column.higher else -levels
    if closer.empty:
        return closer
    values = np.maximum(standardise(closer.to_numpy(dtype=np.float64)), LOWEST)
    return pd.DataFrame(values, levels.index, levels.columns)


def level_means(scores: pd.DataFrame, column: str, probe: Probe) -> pd.DataFrame:
    """Average each level's draws: [example, level], both ascending.

    Every example of `scores` must have every level and draw of the probe exactly once, else
    InputError.
    """
    if column not in scores:
        raise InputError(f"no score column {column!r}, expected one of {sorted(scores.columns)}")
    chosen = probe.among(scores).to_numpy()
    codes, ids = pd.factorize(scores["example_id"], sort=True)  # strings are sorted once only
    keys = ["example", "level", "draw"]
    rows = scores.loc[chosen, ["level", "draw", column]].assign(example=codes[chosen])
    rows = rows.sort_values(keys)  # sums do not depend on the order of the rows
    cells = rows[["level", "draw"]].drop_duplicates().sort_values(["level", "draw"])
    repeated = (rows[keys].diff() == 0).all(axis=1)
    finite = np.isfinite(rows[column].to_numpy(dtype=np.float64)).all()
    if repeated.any() or not finite or len(rows) != len(ids) * len(cells):
        _refuse(scores[chosen], column, ids)
    values = rows[column].to_numpy(dtype=np.float64).reshape(len(ids), len(cells))
    levels, first, draws = np.unique(cells["level"], return_index=True, return_counts=True)
    means = np.add.reduceat(values, first, axis=1) / draws if len(cells) else values
    index, columns = pd.Index(ids, name="example_id"), pd.Index(levels, name="level")
    return pd.DataFrame(means, index=index, columns=columns)


def standardise(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centre each column [n, k] on its median and divide by its spread; without spread it is 0.

    The spread is the MAD; where more than half of the values are alike, the standard deviation
    after a hundredth at either end is drawn in (of 20 values or more); where those are alike too,
    the plain one.
    """
    offset = values - np.median(values, axis=0)
    size = spread(values)
    return np.divide(offset, size, out=np.zeros_like(offset), where=size > 0)


def spread(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spread of each column [n, k] as `standardise` takes it, 0 where it says nothing."""
    smallest = SMALLEST_SPREAD * np.median(np.abs(values), axis=0)
    offset = values - np.median(values, axis=0)
    absurd = math.ceil(DRAWN_IN * len(values)) if len(values) >= ENOUGH else 0
    ordered = np.sort(offset, axis=0)
    drawn_in = np.clip(offset, ordered[absurd], ordered[len(values) - 1 - absurd])
    found = np.zeros(values.shape[1])
    for of in (
        MAD_TO_SIGMA * np.median(np.abs(offset), axis=0),
        drawn_in.std(axis=0),
        offset.std(axis=0),
    ):
        found = np.where(found > 0, found, np.where(of > smallest, of, 0.0))
    return found


def _refuse(rows: pd.DataFrame, column: str, ids: pd.Index[str]) -> NoReturn:
    """Say what is wrong with the rows of one probe."""
    wrong = ~np.isfinite(rows[column].to_numpy(dtype=np.float64))
    if wrong.any():
        row = rows[wrong].iloc[0]
        raise InputError(
            f"{column} is {row[column]} at {_place(row)}, expected a finite number; "
            "score this example again, or leave all its rows out to report it as not scored"
        )
    twice = rows.duplicated(["example_id", "level", "draw"]).to_numpy()
    if twice.any():
        raise InputError(
            f"{_place(rows[twice].iloc[0])} is there twice, expected once; "
            "merge each shard of scores only once"
        )
    there = rows.assign(there=True).pivot_table(
        index="example_id", columns=["level", "draw"], values="there", aggfunc="any"
    )
    row, place = np.argwhere(there.reindex(ids).isna().to_numpy())[0]
    level, draw = there.columns[place]
    raise InputError(
        f"example {ids[row]} has no score for the attack {rows['attack'].iloc[0]}, "
        f"level {level}, draw {draw}, expected every level and draw of the others; "
        "finish the scan, or leave all its rows out to report it as not scored"
    )


def _place(row: pd.Series) -> str:
    return (
        f"example {row['example_id']}, attack {row['attack']}, "
        f"level {row['level']}, draw {row['draw']}"
    )

"""What was corrupted: the clean image, or the noisy copy that a model was trained on.

Scores of noisy copies stand under a `reconstruction` of their own: "noisy ode" beside "ode". Each
query has its score column and its p-values, and the smaller of them, times two, is the image's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from memaudit.statistics.dataset import DatasetTest

Query = Literal["clean image", "noisy copy"]
CLEAN: Query = "clean image"
COPY: Query = "noisy copy"
NOISY = "noisy "  # before the name of a reconstruction whose queries are noisy copies
COPY_COLUMN = "copy_correlation"  # what is pooled of noisy copies


@dataclass(frozen=True)
class QueryResult:
    """What one query shows by itself, before its level is shared with the other's.

    `flagged` groups rest on it. `test` and `auc` are of its own score; None without controls.
    """

    query: Query
    column: str
    flagged: int
    test: DatasetTest | None
    auc: float | None


def of_copies(reconstruction: str) -> str:
    """The name under which the noisy copies of a reconstruction stand."""
    return NOISY + reconstruction


def of_images(reconstruction: str) -> str:
    """The name of the reconstruction, whatever was corrupted."""
    return reconstruction.removeprefix(NOISY)


def column_of(reconstruction: str, column: str) -> str:
    """The column that is pooled of a reconstruction, where that of clean images is `column`."""
    return COPY_COLUMN if query_of(reconstruction) == COPY else column


def similarity_of(reconstruction: str) -> str:
    """The column that says how closely a reconstruction brings back what was corrupted.

    That of noisy copies is their frozen noise: embedded, copies look all alike.
    """
    return column_of(reconstruction, "own_similarity")


def query_of(reconstruction: str) -> Query:
    """What was corrupted under a name."""
    return COPY if reconstruction.startswith(NOISY) else CLEAN


def names_in(scores: pd.DataFrame, reconstruction: str) -> dict[Query, str]:
    """The names of a reconstruction among the scores, by query."""
    there = set(scores["reconstruction"].unique())
    names: dict[Query, str] = {CLEAN: reconstruction}
    return names | ({COPY: of_copies(reconstruction)} if of_copies(reconstruction) in there else {})


def clean_rows(scores: pd.DataFrame) -> pd.DataFrame:
    """The rows of clean images."""
    return scores[~scores["reconstruction"].str.startswith(NOISY)]


def rows_of(scores: pd.DataFrame, *reconstructions: str) -> pd.DataFrame:
    """The rows of some reconstructions, of both queries."""
    names = [*reconstructions, *map(of_copies, reconstructions)]
    return scores[scores["reconstruction"].isin(names)]

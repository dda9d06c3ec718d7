"""File properties and captions as numbers on one scale."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_numeric_dtype
from scipy import stats
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import CountVectorizer

WORDS = 300  # of the captions, the most frequent ones
COMPONENTS = 16  # numbers that stand for those words


def encode(properties: pd.DataFrame) -> NDArray[np.float64]:
    """Columns of any kind -> [n, d]: numbers as normal scores, missing ones and kinds as 0 or 1.

    Normal scores (van der Waerden 1952) take file sizes of any distribution and are bounded, so
    that no single odd image rules a classifier.
    """
    columns = [column for name in properties for column in _columns(properties[name])]
    return np.stack([column for column in columns if np.ptp(column) > 0] or [columns[0]], axis=1)


def _columns(values: pd.Series[str] | pd.Series[float]) -> list[NDArray[np.float64]]:
    if not is_numeric_dtype(values):
        kinds = values.astype(str).to_numpy()
        return [(kinds == kind).astype(float) for kind in np.unique(kinds)]
    numbers = values.to_numpy(np.float64)
    missing = np.isnan(numbers)
    ranks = stats.rankdata(numbers[~missing])
    scores = np.zeros(len(numbers))
    scores[~missing] = stats.norm.ppf(ranks / (len(ranks) + 1))
    return [scores, missing.astype(float)]


def encode_captions(captions: pd.Series[str]) -> NDArray[np.float64]:
    """Captions [n] -> [n, d]: lengths as normal scores, and the principal parts of their words."""
    texts = captions.astype(str).str.lower().tolist()
    counts = {"characters": map(len, texts), "words": (len(text.split()) for text in texts)}
    lengths = encode(pd.DataFrame({name: list(values) for name, values in counts.items()}))
    counter = CountVectorizer(binary=True, max_features=WORDS, min_df=2, token_pattern=r"\S+")
    try:
        words = counter.fit_transform(texts)
    except ValueError:  # no word is there twice
        return lengths
    few = words.shape[1] <= COMPONENTS
    told = words.toarray() if few else TruncatedSVD(COMPONENTS, random_state=0).fit_transform(words)
    return np.column_stack([lengths, told])


def features(pool: pd.DataFrame, columns: list[str], *, captions: bool) -> pd.DataFrame:
    """What a picture shows, as numbers, [example, d], of the representatives of a pool.

    `columns` are file properties and the looks of embeddings, as far as the pool has them;
    `captions`: the model is told those in the column `prompt`, so they are numbers too.
    """
    rows = pool[pool["representative"]].drop_duplicates("example_id").set_index("example_id")
    rows = rows.sort_index()
    looks = [name for name in rows if str(name).startswith("look_")]
    there = [name for name in [*columns, *looks] if name in rows]
    parts = [encode(rows[there])] if there else []
    if captions:
        parts.append(encode_captions(rows["prompt"]))
    table = np.concatenate(parts, axis=1) if parts else np.zeros((len(rows), 0))
    return pd.DataFrame(table, index=rows.index)

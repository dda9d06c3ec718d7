"""File properties and captions as numbers on one scale."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_numeric_dtype
from scipy import stats

WORDS = 300  # of the captions, the most frequent ones


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
    """Captions [n] -> [n, d]: lengths as normal scores, and which frequent words are in them."""
    texts = captions.astype(str).str.lower().tolist()
    words = [set(text.split()) for text in texts]
    counts = Counter(word for held in words for word in sorted(held))
    frequent = sorted((w for w in counts if counts[w] > 1), key=lambda w: (-counts[w], w))[:WORDS]
    lengths = pd.DataFrame({"characters": map(len, texts), "words": map(len, words)})
    held = [np.array([word in row for row in words], float) for word in frequent]
    return np.column_stack([encode(lengths), *held])

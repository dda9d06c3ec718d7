"""Which single properties tell members from controls, in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_numeric_dtype
from scipy import stats

from memaudit.data import PROPERTIES

NAMED = 5
LEVEL = 0.01  # over all properties together


@dataclass(frozen=True)
class Separation:
    """One property that differs: its median, or its commonest kind with its share, on each side.

    `auc` is the chance to tell a member from a control by this property alone, .5 to 1.
    """

    what: str
    members: str
    controls: str
    auc: float


def separations(properties: pd.DataFrame, member: NDArray[np.bool_]) -> tuple[Separation, ...]:
    """At most NAMED properties that differ, strongest first, with Bonferroni over all that vary.

    `properties` has the columns named in PROPERTIES.
    """
    varying = [(name, words) for name, words in PROPERTIES if properties[name].nunique() > 1]
    found = []
    for name, words in varying:
        members, controls = properties.loc[member, name], properties.loc[~member, name]
        test = _numbers if is_numeric_dtype(members) else _kinds
        auc, p_value = test(members, controls)
        if p_value <= LEVEL / len(varying):
            found.append(Separation(words, _typical(members), _typical(controls), auc))
    found.sort(key=lambda separation: round(separation.auc, 3), reverse=True)
    return tuple(found[:NAMED])


def _numbers(members: pd.Series[float], controls: pd.Series[float]) -> tuple[float, float]:
    """Folded AUC and two-sided p-value (Mann and Whitney 1947) of what is not missing."""
    a, b = members.dropna().to_numpy(), controls.dropna().to_numpy()
    if not (a.size and b.size):  # a kind, such as the format, says why
        return 0.5, 1.0
    test = stats.mannwhitneyu(a, b, method="asymptotic")
    auc = float(test.statistic) / (a.size * b.size)
    return max(auc, 1 - auc), float(test.pvalue)


def _kinds(members: pd.Series[str], controls: pd.Series[str]) -> tuple[float, float]:
    """AUC of ordering the kinds by their share of members, and the p-value of chi-squared."""
    counts = pd.concat([members.value_counts(), controls.value_counts()], axis=1).fillna(0)
    a, b = counts.to_numpy(np.float64).T
    order = np.argsort(a / (a + b))
    a, b = a[order], b[order]
    auc = float(a @ (np.cumsum(b) - b / 2)) / (a.sum() * b.sum())
    return auc, float(stats.chi2_contingency(np.stack([a, b])).pvalue)


def _typical(values: pd.Series[str] | pd.Series[float]) -> str:
    if is_numeric_dtype(values):
        return f"{np.nanmedian(values.to_numpy(np.float64)):.4g}"
    shares = values.value_counts(normalize=True)
    name, share = str(shares.index[0]) or "none", float(shares.iloc[0])
    return name if share == 1 else f"{name} ({share:.0%})"

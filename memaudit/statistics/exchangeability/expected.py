"""What a score is expected to be, by all that a picture shows without the model.

Some pictures come back more easily than others, whatever a model was trained on. What files,
embeddings and captions tell of that is predicted, and what is left of a score is the image's own.
"""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LassoCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from memaudit.statistics.combine import spread
from memaudit.statistics.entities import Sides

FOLDS = 5
FEWEST = 30  # images that a fit takes
MANY = 400  # images from which on trees find what a parabola of each feature does not
MOST = 5000  # images that a fit is given, those with the smallest hashes
WIDEST = 3.0  # a score further than so many spreads from the median is drawn in before a fit
STEEPEST = 1.5  # a prediction may be stretched by this much, because a lasso shrinks it
Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Expected:
    """Predicted scores, [example, input], on the scale of the scores.

    `by_controls` is fitted to controls alone, so that nothing memorized is predicted away; every
    image, member or control, is predicted by a fit that did not see its fold. `blind` is fitted to
    the whole pool without its labels, which makes any comparison of the sides by it exact.
    `explained` is the share of the variance of the controls' scores that `by_controls` predicts,
    None where nothing is known of the pictures.
    """

    by_controls: pd.DataFrame
    blind: pd.DataFrame
    explained: float | None


def expect(scores: pd.DataFrame, features: pd.DataFrame, sides: Sides, seed: int) -> Expected:
    """Predict scores [example, input] from features [example, d]; no feature, no prediction.

    Folds are cut by a hash of the id, or of the cluster. Scores far out are drawn in before a fit,
    so that none of them rules it. A prediction is stretched to fit the scores of images that it did
    not see, or to nothing if it tells nothing of them (cross-fitting, Chernozhukov et al. 2018).
    """
    among = pd.Index([*sides.members, *sides.controls])
    by_controls = pd.DataFrame(0.0, scores.index, scores.columns)
    blind, explained = by_controls.copy(), []
    table = features.reindex(among)
    if not table.shape[1] or table.isna().any(axis=None):
        return Expected(by_controls, blind, None)
    folds = _Folds.of(among, sides, seed)
    is_control = np.arange(len(among)) >= len(sides.members)
    everyone = np.ones(len(among), dtype=np.bool_)
    matrix = table.to_numpy(np.float64)
    told = {"controls": by_controls, "all": blind}
    for what in scores:
        values = scores[what].reindex(among).to_numpy(np.float64)
        for name, fitted in (("controls", is_control), ("all", everyone)):
            target = _drawn_in(values, fitted)
            predicted = folds.predict(matrix, target, fitted)
            told[name][what] = pd.Series(predicted, among).reindex(scores.index, fill_value=0.0)
            if name == "controls":
                explained.append(_share(predicted[is_control], target[is_control]))
    return Expected(by_controls, blind, max(explained))


@dataclass(frozen=True, eq=False)
class _Folds:
    """Which fold each image is of, and an order of all that a hash decides."""

    fold: NDArray[np.int64]
    order: NDArray[np.int64]

    @classmethod
    def of(cls, ids: pd.Index[str], sides: Sides, seed: int) -> _Folds:
        units = [sides.clusters.get(name) or name for name in ids]
        hashes = [
            int.from_bytes(hashlib.blake2b(f"{seed} {unit}".encode(), digest_size=7).digest())
            for unit in units
        ]
        numbers = np.array(hashes, dtype=np.int64)
        return cls(numbers % FOLDS, np.argsort(numbers, kind="stable"))

    def predict(self, matrix: Values, target: Values, fitted: NDArray[np.bool_]) -> Values:
        """Predict all, each by a fit to `fitted` images of other folds; 0 where that tells nothing.

        The median of the predictions is 0.
        """
        told = np.zeros(len(target))
        if np.count_nonzero(fitted) < FEWEST:
            return told
        for fold in range(FOLDS):
            inside = self.fold == fold
            rows = self.order[(fitted & ~inside)[self.order]][:MOST]
            if len(rows) >= FEWEST and inside.any():
                told[inside] = _fit_and_predict(matrix[rows], target[rows], matrix[inside])
        told = told - np.median(told[fitted])
        size = float(np.mean((told[fitted] - told[fitted].mean()) ** 2))
        if size < 1e-12:
            return np.zeros(len(target))
        offset = target[fitted] - target[fitted].mean()
        slope = float(np.clip(np.mean(told[fitted] * offset) / size, 0.0, STEEPEST))
        return slope * told


def _fit_and_predict(matrix: Values, target: Values, others: Values) -> Values:
    """A sparse parabola of each feature (Tibshirani 1996), and trees on what it leaves."""
    base = make_pipeline(FunctionTransformer(_parabola), StandardScaler(), LassoCV(alphas=20))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a rougher fit is a fit
        base.fit(matrix, target)
    told: Values = base.predict(others)
    if len(matrix) >= MANY:
        trees = HistGradientBoostingRegressor(
            max_iter=40, max_leaf_nodes=6, early_stopping=False, random_state=0
        )
        trees.fit(matrix, target - base.predict(matrix))
        told = told + trees.predict(others)
    return told


def _parabola(matrix: Values) -> Values:
    return np.concatenate([matrix, matrix**2], axis=1)


def _drawn_in(scores: Values, of: NDArray[np.bool_]) -> Values:
    """Draw scores in to WIDEST spreads of some of them around their median."""
    middle = np.median(scores[of]) if of.any() else 0.0
    reach = WIDEST * float(spread(scores[of][:, None])[0]) if of.any() else 0.0
    drawn: Values = np.clip(scores, middle - reach, middle + reach)
    return drawn


def _share(told: Values, target: Values) -> float:
    """Share of the variance that a prediction takes off, at least 0."""
    total = float(np.var(target)) if len(target) else 0.0
    return max(0.0, 1 - float(np.var(target - told)) / total) if total > 0 else 0.0

"""The blind baseline: whether members and controls differ in what the model has no part in."""

from memaudit.statistics.exchangeability.blind import MOST, Baseline, Fairness, fairness
from memaudit.statistics.exchangeability.separation import Separation

__all__ = ["MOST", "Baseline", "Fairness", "Separation", "fairness"]

"""The blind baseline: whether members and controls differ in what the model has no part in."""

from memaudit.stages.fairness.blind import MOST, Baseline, Fairness, fairness
from memaudit.stages.fairness.separation import Separation

__all__ = ["MOST", "Baseline", "Fairness", "Separation", "fairness"]

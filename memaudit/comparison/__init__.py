"""A comparison of finished runs: pipeline.py shows the order of what is done."""

from memaudit.comparison.pipeline import compare
from memaudit.comparison.result import ComparisonResult

__all__ = ["ComparisonResult", "compare"]

"""A comparison of finished runs: pipeline.py shows the order of what is done."""

from memaudit.comparing.pipeline import compare
from memaudit.comparing.result import ComparisonResult

__all__ = ["ComparisonResult", "compare"]

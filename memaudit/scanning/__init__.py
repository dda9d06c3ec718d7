"""A scan, from a model and a data set to findings: pipeline.py shows the order of the stages."""

from memaudit.scanning.pipeline import scan
from memaudit.scanning.result import ScanResult

__all__ = ["ScanResult", "scan"]

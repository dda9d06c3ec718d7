"""A scan, from a model and a data set to findings: pipeline.py shows the order of the stages."""

from memaudit.audit.pipeline import scan
from memaudit.audit.result import ScanResult

__all__ = ["ScanResult", "scan"]

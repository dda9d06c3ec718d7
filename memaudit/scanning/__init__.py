"""A scan, from a model and a data set to findings: the order of the stages stands in scan.py."""

from memaudit.scanning.result import ScanResult
from memaudit.scanning.scan import scan

__all__ = ["ScanResult", "scan"]

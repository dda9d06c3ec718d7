"""Exact nearest neighbours among unit vectors, saved with a sidecar that says whose they are."""

from memaudit.stages.search.backend import FaissBackend, TorchBackend
from memaudit.stages.search.index import Index, IndexMeta
from memaudit.stages.search.match import match
from memaudit.stages.search.storage import build_index, load_index

__all__ = [
    "FaissBackend",
    "Index",
    "IndexMeta",
    "TorchBackend",
    "build_index",
    "load_index",
    "match",
]

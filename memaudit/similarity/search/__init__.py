"""Exact nearest neighbours among unit vectors, saved with a sidecar that says whose they are."""

from memaudit.similarity.search.backend import FaissBackend, TorchBackend
from memaudit.similarity.search.index import Index, IndexMeta
from memaudit.similarity.search.match import match
from memaudit.similarity.search.storage import build_index, load_index

__all__ = [
    "FaissBackend",
    "Index",
    "IndexMeta",
    "TorchBackend",
    "build_index",
    "load_index",
    "match",
]

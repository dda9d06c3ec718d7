"""Images to unit vectors: the embedders, by name."""

from memaudit.stages.embed.base import Embedder
from memaudit.stages.embed.registry import available, load_embedder

__all__ = ["Embedder", "available", "load_embedder"]

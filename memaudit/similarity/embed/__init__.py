"""Images to unit vectors: the embedders, by name."""

from memaudit.similarity.embed.base import Embedder, PatchEmbedder
from memaudit.similarity.embed.registry import load_embedder

__all__ = ["Embedder", "PatchEmbedder", "load_embedder"]

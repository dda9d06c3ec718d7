"""Embedders by name: the built-in ones and those that other packages register."""

from __future__ import annotations

from collections.abc import Callable

from memaudit.plugins import Plugins
from memaudit.similarity.embed.base import Embedder

GROUP = "memaudit.embedders"
BUILT_IN = {
    "sscd": "memaudit.similarity.embed.sscd:load_sscd",
    "sscd-distilled": "memaudit.similarity.embed.sscd:load_sscd_distilled",
    "open_clip": "memaudit.similarity.embed.open_clip:load",
    "dinov2": "memaudit.similarity.embed.dinov2:load",
    "pixels": "memaudit.similarity.embed.pixels:load",
}

Loader = Callable[[str, str], Embedder]  # (argument, device)
EMBEDDERS = Plugins[Loader]("embedder", GROUP, BUILT_IN)


def load_embedder(spec: str, device: str = "cpu") -> Embedder:
    """Load `name` or `name:argument`, e.g. `sscd` or `dinov2:path/to/folder`.

    Raises ConfigError for an unknown name or a wrong argument, DependencyError for weights or
    packages that this machine lacks.
    """
    name, _, argument = spec.partition(":")
    return EMBEDDERS.load(name)(argument, device)

"""Embedders by name: the built-in ones and those that other packages register."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import cast

from memaudit.errors import ConfigError, DependencyError
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


def available() -> dict[str, str]:
    """Name to `module:function` of every embedder; a plug-in cannot replace a built-in one."""
    plug_ins = {entry.name: entry.value for entry in entry_points(group=GROUP)}
    return plug_ins | BUILT_IN


def load_embedder(spec: str, device: str = "cpu") -> Embedder:
    """Load `name` or `name:argument`, e.g. `sscd` or `dinov2:path/to/folder`.

    Raises ConfigError for an unknown name or a wrong argument, DependencyError for weights or
    packages that this machine lacks.
    """
    name, _, argument = spec.partition(":")
    embedders = available()
    if name not in embedders:
        raise ConfigError(
            f"There is no embedder {name!r}. Choose one of {', '.join(sorted(embedders))}, "
            f"or install a package that registers it under the entry-point group {GROUP}."
        )
    return _import_loader(name, embedders[name])(argument, device)


def _import_loader(name: str, target: str) -> Loader:
    module, _, function = target.partition(":")
    try:
        return cast(Loader, getattr(importlib.import_module(module), function))
    except (ImportError, AttributeError) as error:
        raise DependencyError(
            f"The embedder {name!r} cannot be imported from {target}: {error}. "
            "Install what it names, or reinstall the package that registers it."
        ) from error

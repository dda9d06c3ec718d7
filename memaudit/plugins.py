"""Things by name: the built-in ones and those that other packages register as entry points."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import cast

from memaudit.errors import ConfigError, DependencyError


@dataclass(frozen=True)
class Plugins[T]:
    """All of one kind: `built_in` holds the name and `module:object` of those of memaudit.

    Other packages add theirs under the entry-point group `group`; nothing is imported before it is
    loaded. `kind` is the singular, as messages say it.
    """

    kind: str
    group: str
    built_in: Mapping[str, str]

    def available(self) -> dict[str, str]:
        """Name to `module:object`, built-in ones first, which no plug-in replaces."""
        added = {entry.name: entry.value for entry in entry_points(group=self.group)}
        return {**self.built_in, **{k: added[k] for k in sorted(added.keys() - self.built_in)}}

    def load(self, name: str) -> T:
        """Import the one of that name.

        Raises ConfigError for an unknown name, DependencyError for one that cannot be imported.
        """
        targets = self.available()
        if name not in targets:
            raise ConfigError(
                f"There is no {self.kind} {name!r}. Choose one of {', '.join(sorted(targets))}, "
                f"or install a package that registers it under the entry-point group {self.group}."
            )
        module, _, attribute = targets[name].partition(":")
        try:
            return cast(T, getattr(importlib.import_module(module), attribute))
        except (ImportError, AttributeError) as error:
            raise DependencyError(
                f"The {self.kind} {name!r} cannot be imported from {targets[name]}: {error}. "
                "Install what it names, or reinstall the package that registers it."
            ) from error

"""Every error memaudit raises, with the exit code it ends in.

    MemauditError
    ├── InputError (2)             what the user gave cannot be used
    │   ├── ConfigError            an option, a value, a configuration file
    │   ├── DataError              a data set as a whole
    │   │   └── UnreadableImageError   one image; becomes a row of errors.csv, never a crash
    │   ├── ModelError             a model folder, its weights, its family
    │   │   └── MisreadModelError  the self-check refused how the model is read
    │   ├── ForeignFileError       a file of another's making, out of bounds or damaged
    │   ├── IndexMismatchError     a saved index belongs to other data or another embedder
    │   │   └── DamagedIndexError  a saved index is not what was written
    │   └── RunDirectoryError      the run directory is in use or belongs to other arguments
    ├── DependencyError (3)        something this machine lacks: weights, a package, disk space
    └── TrainingDivergedError (3)  the loss stopped being finite

Messages say what was found, what was expected and what to do next.
"""

from __future__ import annotations

from typing import ClassVar


class MemauditError(Exception):
    """Base of all errors that memaudit raises on purpose."""

    exit_code: ClassVar[int] = 3


class InputError(MemauditError):
    """What the user gave cannot be used."""

    exit_code: ClassVar[int] = 2


class ConfigError(InputError):
    """An option or a configuration file is wrong."""


class DataError(InputError):
    """A data set cannot be opened, or holds nothing to scan."""


class UnreadableImageError(DataError):
    """One image cannot be read; the scan goes on without it."""


class ModelError(InputError):
    """A model cannot be loaded or is of a kind that is not supported."""


class MisreadModelError(ModelError):
    """The model predicts better under another reading than the declared one."""


class ForeignFileError(InputError):
    """A file of another's making is not regular, too large, cut off, or no JSON within bounds."""


class IndexMismatchError(InputError):
    """A saved index does not belong to this data, embedder or version."""


class DamagedIndexError(IndexMismatchError):
    """A saved index is damaged; where its images are at hand it is made anew."""


class RunDirectoryError(InputError):
    """The run directory is in use, or holds the run of other arguments."""


class DependencyError(MemauditError):
    """Something is missing on this machine: weights, a package, disk space."""


class TrainingDivergedError(MemauditError):
    """The loss stopped being finite; the last checkpoint is kept."""


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: Python, torch on a GPU, and torch on a CPU say it differently."""
    named = type(error).__name__ in ("MemoryError", "OutOfMemoryError")
    said = ("not enough memory", "can't allocate memory", "Cannot allocate memory")
    return named or any(words in str(error) for words in said)

"""The whole verification without a model."""

from __future__ import annotations

from pathlib import Path

from memaudit.config import VerifyConfig
from memaudit.errors import ConfigError, RunDirectoryError
from memaudit.verify.directory import check_run
from memaudit.verify.result import Checked
from memaudit.verify.zipped import check_unpacked, check_zip, is_unpacked


def verify(config: VerifyConfig) -> Checked:
    """Hold a run, or an evidence.zip (unpacked or not), to its checksums and to a given digest.

    Raises RunDirectoryError for what is neither, is not finished, or was never sealed, and
    ConfigError where findings of a zip are to be repeated.
    """
    path = Path(config.run)
    if not path.exists():
        raise RunDirectoryError(
            f"{path} is not there; give the --out of a finished scan, or an evidence.zip"
        )
    if config.again is not None and (not path.is_dir() or is_unpacked(path)):
        raise ConfigError(
            f"--replay needs a run directory, and {path} is none: an evidence.zip does not hold "
            "the scores; ask for the whole run"
        )
    return _check(path).against(config.digest)


def _check(path: Path) -> Checked:
    if not path.is_dir():
        return check_zip(path)
    return check_unpacked(path) if is_unpacked(path) else check_run(path)

"""The run directory: what a scan was asked, what is done, and what it found.

run.json comes first (what was asked, with its digest), scores/part-*.parquet as shards finish, and
scan.json last: its presence says the scan is complete. An OS lock is held while a scan runs, so a
killed scan leaves nothing locked.
"""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from memaudit.config import digest
from memaudit.errors import RunDirectoryError
from memaudit.files import write_json, write_parquet

# The scores that are calibrated; an adaptive scan's sample and first pass; the power check; and
# embeddings of the model's own images.
Work = Literal["scores", "sample", "screen", "power", "generated"]
ERRORS = b"memaudit.errors"  # of a part's schema: id -> why it could not be scored

DIGEST = re.compile(r"[0-9a-f]{64}")  # says nothing to people
NAMES = {
    "fingerprint": "the data",
    "copies": "the noisy copies",
    "embedder_digest": "the embedder's weights",
}
OWN = (".lock", "run.json.tmp")  # what a scan killed at its very start leaves


class RunDirectory:
    """One scan's directory, held by one process at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def images(self) -> Path:
        """Strips of the flagged."""
        return self.path / "images"

    def start(self, asked: dict[str, Any]) -> None:
        """Write run.json, or check that it was written for the same question.

        Raises RunDirectoryError, naming the differences, if it was not.
        """
        file = self.path / "run.json"
        question = json.loads(json.dumps(asked))
        if not file.is_file():
            write_json(file, {"digest": digest(question), "asked": question})
            return
        try:
            earlier = dict(json.loads(file.read_text(encoding="utf-8"))["asked"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunDirectoryError(
                f"{file} cannot be read ({error}); give another --out, or remove {self.path}"
            ) from error
        if earlier != question:
            changed = "; ".join(dict.fromkeys(_differences(earlier, question)))
            raise RunDirectoryError(
                f"{self.path} holds the scan of other arguments or other data ({changed}); give "
                "another --out, or the same arguments to continue it"
            )

    def part(self, number: int, work: Work = "scores") -> Path:
        """Where the scores of a shard of some work stand."""
        return self.path / work / f"part-{number:05d}.parquet"

    def write_part(
        self, number: int, scores: pd.DataFrame, failed: dict[str, str], work: Work = "scores"
    ) -> None:
        """Keep the scores of a shard, and which of its ids failed."""
        path = self.part(number, work)
        path.parent.mkdir(exist_ok=True)
        write_parquet(path, scores, {ERRORS.decode(): json.dumps(failed)})

    def rows(self, number: int, work: Work = "scores") -> int:
        """How many rows a part has; 0 without one. Raises RunDirectoryError if it is damaged."""
        path = self.part(number, work)
        return _read_part(path).num_rows if path.is_file() else 0

    def read_part(self, number: int, work: Work = "scores") -> tuple[pd.DataFrame, dict[str, str]]:
        """Read one part and why ids failed; raises RunDirectoryError if it is damaged."""
        table = _read_part(self.part(number, work))
        return table.to_pandas(), json.loads(table.schema.metadata[ERRORS])

    def read_parts(self, count: int, work: Work = "scores") -> tuple[pd.DataFrame, dict[str, str]]:
        """Read the scores of all shards of some work, and why ids failed.

        Raises RunDirectoryError for a part that is damaged.
        """
        tables: list[pd.DataFrame] = []
        failed: dict[str, str] = {}
        for number in range(count):
            table, errors = self.read_part(number, work)
            failed |= errors
            if len(table):
                tables.append(table)
        return (pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()), failed


@contextmanager
def hold(path: Path) -> Iterator[RunDirectory]:
    """Hold a run directory; raises RunDirectoryError if it is foreign or in use."""
    try:
        if path.exists() and not path.is_dir():
            raise RunDirectoryError(f"--out {path} is a file; give a directory")
        _refuse_foreign(path)
        path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path / ".lock")
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RunDirectoryError(
            f"{path} is in use by another scan; wait for it, or give another --out"
        ) from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        raise RunDirectoryError(
            f"--out {path} cannot be written: {error.strerror}; give a directory of your own"
        ) from error
    try:
        yield RunDirectory(path)
    finally:
        lock.release()


def _refuse_foreign(path: Path) -> None:
    if not path.is_dir() or (path / "run.json").is_file():
        return
    foreign = sorted(item.name for item in path.iterdir() if item.name not in OWN)
    if foreign:
        raise RunDirectoryError(
            f"--out {path} holds {foreign[0]}{' and other things' * (len(foreign) > 1)} but no "
            "run of memaudit; give a new or empty directory"
        )


def _read_part(path: Path) -> pa.Table:
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise RunDirectoryError(
            f"{path} is damaged ({error}); remove that file and run the same command again: only "
            "its images are scored anew"
        ) from error
    if ERRORS not in (table.schema.metadata or {}):
        raise RunDirectoryError(
            f"{path} was not written by a scan; remove that file and run the same command again"
        )
    return table


def _differences(earlier: Any, now: Any, name: str = "") -> Iterator[str]:
    if isinstance(earlier, dict) and isinstance(now, dict):
        for key in sorted(earlier.keys() | now.keys()):
            if earlier.get(key) != now.get(key):
                yield from _differences(earlier.get(key), now.get(key), key)
    elif DIGEST.fullmatch(str(now)):
        yield f"{NAMES.get(name, name)} changed"
    else:
        was, now = ("not given" if value is None else value for value in (earlier, now))
        yield f"{name} was {was}, now {now}"

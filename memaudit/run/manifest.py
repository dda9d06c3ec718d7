"""What a store should hold: the sha256 and rows of each table, without which none is read.

Once a run is finished the manifest lists all else too, and its own sha256 is the run's digest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from functools import cache
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from memaudit.errors import RunDirectoryError
from memaudit.progress import remark
from memaudit.run.store import Store
from memaudit.run.sums import sha256

MANIFEST = "manifest.json"
PARTS = "part-*.parquet"  # what the numbered tables of a folder are called
SHOWN = 3  # names in a message


Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


@dataclass(frozen=True)
class Seal:
    """What a table must be: the sha256 of its file, and its rows."""

    sha256: Sha256
    rows: Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class Manifest:
    """The seals of tables by name; `of` is the digest of what they were made from.

    `files` are the sha256 of all other files that the findings rest on, and of the findings; empty
    while a run is not finished.
    """

    of: str = ""
    tables: dict[str, Seal] = field(default_factory=dict)
    files: dict[str, Sha256] = field(default_factory=dict)

    @property
    def sums(self) -> dict[str, str]:
        """The sha256 of every file that it lists."""
        return {**{name: seal.sha256 for name, seal in self.tables.items()}, **self.files}


@dataclass(frozen=True)
class Sealed:
    """The tables of a store, each under seal.

    A seal is written before its table, so that a process that is killed leaves no table without
    one. One process writes at a time.
    """

    store: Store
    name: str = MANIFEST  # of the manifest

    def begin(self, of: str, folders: Iterable[str]) -> bool:
        """Start the manifest of tables that are made from `of`; False if it was started before.

        Where it is lost, cannot be read or belongs to something else, nothing vouches for the
        tables in the `folders`: that is said, and they are made anew.
        """
        if self.is_of(of):
            return False
        why = f"{self.place(self.name)} belongs to something else"
        try:
            self.manifest()
        except RunDirectoryError as error:
            why = str(error)
        if self.store.has(self.name) or any(self._there(folder) for folder in folders):
            remark(f"{why}; the tables that it should vouch for are made anew")
        self._keep(Manifest(of))
        return True

    def manifest(self) -> Manifest:
        """Read the manifest; raises RunDirectoryError if it is not there or makes no sense."""
        if not self.store.has(self.name):
            raise RunDirectoryError(
                f"{self.store.place} has no {self.name}, which says what its tables hold: it was "
                "lost, or an earlier memaudit wrote none"
            )
        try:
            return read_manifest(self.store.get(self.name))
        except (OSError, ValidationError) as error:
            raise RunDirectoryError(
                f"{self.place(self.name)} cannot be read: it holds no seals of tables"
            ) from error

    def put(self, name: str, content: bytes, rows: int) -> None:
        """Seal a table and write it; the run is then not finished any more."""
        manifest = self.manifest() if self.store.has(self.name) else Manifest()
        tables = {**manifest.tables, name: Seal(sha256(content), rows)}
        self._keep(Manifest(manifest.of, tables))
        self.store.put(name, content)

    def close(self, files: Mapping[str, str]) -> None:
        """Seal all other files of a finished run, by their sha256."""
        self._keep(replace(self.manifest(), files=dict(files)))

    def vouch(self, name: str, content: bytes) -> None:
        """Hold one of the other files of a finished run to its seal; raises RunDirectoryError."""
        sealed = self.manifest().files
        if not sealed:
            raise RunDirectoryError(unsealed(self.store.place, self.name))
        if sealed.get(name) != sha256(content):
            raise RunDirectoryError(
                f"{self.place(name)} was changed after its scan had written it: its sha256 is not "
                f"the one listed in {self.name}; run its scan again with the same arguments: its "
                "scores are kept, and its findings are made anew"
            )

    def digest(self) -> str:
        """The digest of a finished run, hex; "" while it is not finished."""
        return sha256(self.store.get(self.name)) if self.manifest().files else ""

    def each(self, names: Iterable[str]) -> Iterator[bytes]:
        """Read tables; raises RunDirectoryError at one that is not what was sealed."""
        sealed = self.manifest().tables
        return (self._check(name, sealed.get(name)) for name in names)

    def is_of(self, key: str) -> bool:
        """Whether there is a manifest, of what has this digest."""
        try:
            return self.manifest().of == key
        except RunDirectoryError:
            return False

    def rows(self, folder: str) -> dict[str, int]:
        """The sealed tables of a folder in their order, there or not, and their rows."""
        tables = self.manifest().tables
        return {name: tables[name].rows for name in sorted(tables) if _is_part(name, folder)}

    def strays(self, folder: str) -> list[str]:
        """The tables of a folder that have no seal."""
        sealed = self.manifest().tables
        return [name for name in self._there(folder) if name not in sealed]

    def mend(self, folder: str) -> dict[str, int]:
        """Remove the tables that are not what was sealed, and say so; -> the rows of all others."""
        sealed = self.manifest().tables
        faults = []
        for name in self._there(folder):
            try:
                self._check(name, sealed.get(name))
            except RunDirectoryError as error:
                faults.append(str(error))
                self.store.remove(name)
        if faults:
            remark(f"{some(faults)}; what belongs there is made anew")
        return {name: sealed[name].rows for name in self._there(folder)}

    def place(self, name: str) -> str:
        """Where a content stands, for messages."""
        return f"{self.store.place}/{name}"

    def _keep(self, manifest: Manifest) -> None:
        self.store.put(self.name, write_manifest(manifest))

    def _there(self, folder: str) -> list[str]:
        return [name for name in self.store.names(folder) if _is_part(name, folder)]

    def _check(self, name: str, seal: Seal | None) -> bytes:
        why, content = "", b""
        if seal is None:
            why = f"it is not listed in {self.name}, so no scan wrote it there"
        elif not self.store.has(name):
            why = "it is missing"
        else:
            try:
                content = self.store.get(name)
            except OSError as error:
                why = str(error)
        if seal is not None and not why and sha256(content) != seal.sha256:
            why = f"it is damaged: its sha256 is not the one listed in {self.name}"
        if why:
            raise RunDirectoryError(f"{self.place(name)} cannot be read ({why})")
        return content


def unsealed(place: str, name: str) -> str:
    """What is said of a run whose manifest lists no finished one."""
    return (
        f"{place} is not sealed: {name} lists no finished run. Its findings are being made anew, "
        "that was interrupted, or an earlier memaudit made them; run its scan again with the same "
        "arguments: its scores are kept, and it is sealed"
    )


def some(names: Iterable[str]) -> str:
    """The first few, and how many more there are."""
    names = list(names)
    more = f"; and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return "; ".join(names[:SHOWN]) + more


def _is_part(name: str, folder: str) -> bool:
    return fnmatch(name, f"{folder}/{PARTS}")


def read_manifest(text: bytes) -> Manifest:
    """Read a manifest; raises ValidationError."""
    manifest: Manifest = _adapter().validate_json(text)
    return manifest


def write_manifest(manifest: Manifest) -> bytes:
    """The JSON of a manifest."""
    return _adapter().dump_json(manifest, indent=1)


def is_as_written(manifest: Manifest, text: bytes) -> bool:
    """Whether a manifest is the very text; earlier versions of memaudit wrote no `files`."""
    earlier = _adapter().dump_json(manifest, indent=1, exclude={"files"})
    return text == write_manifest(manifest) or (not manifest.files and text == earlier)


@cache
def _adapter() -> TypeAdapter[Any]:
    return TypeAdapter(Manifest)

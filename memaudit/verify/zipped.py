"""An evidence.zip, held to its checksums and to the manifests of its runs; nothing is unpacked.

What others unpacked is held to them too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from memaudit.errors import ForeignFileError, RunDirectoryError
from memaudit.foreign import read_file, refusing
from memaudit.report.evidence import TOLD
from memaudit.run.archive import MOST_BYTES, MOST_FILES, Archive, unpack
from memaudit.run.manifest import MANIFEST, read_manifest
from memaudit.run.sums import HEX, SUMS, SUMS_BYTES, Sums, read_sums, sha256
from memaudit.verify.result import CHANGED, EXTRA, MISSING, Checked, Difference, Digest

HEADERS = "(the headers of the zip)"


def check_zip(path: Path) -> Checked:
    """Hold a zip to its checksums; raises RunDirectoryError for what memaudit did not write."""
    what = f"{path} cannot be read as evidence.zip of memaudit"
    with refusing(RunDirectoryError, what):
        archive = unpack(read_file(path, MOST_BYTES))
    if SUMS not in archive.files:
        raise RunDirectoryError(f"{what}: it holds no {SUMS}; give the zip as it was written")
    return _checked(path, archive)


def is_unpacked(path: Path) -> bool:
    """Whether a folder is an evidence.zip that was unpacked, by its checksums."""
    try:
        return read_file(path / SUMS, SUMS_BYTES).startswith(f"# {TOLD}".encode())
    except ForeignFileError:
        return False


def check_unpacked(path: Path) -> Checked:
    """Hold the files of an unpacked zip to its checksums; raises RunDirectoryError if too many."""
    files, size = {}, 0
    with refusing(RunDirectoryError, f"{path} cannot be read as an unpacked evidence.zip"):
        for place in _files(path):
            files[place] = read_file(path / place, MOST_BYTES - size)
            size += len(files[place])
    return _checked(path, Archive(files, frozenset(), None))


def _files(path: Path) -> Iterator[str]:
    """Names of all files below a folder; links are not followed."""
    names = (Path(folder, name) for folder, _, some in os.walk(path) for name in some)
    for count, place in enumerate(names, start=1):
        if count > MOST_FILES:
            raise ForeignFileError(f"it holds more than {MOST_FILES} files")
        yield place.relative_to(path).as_posix()


def _checked(path: Path, archive: Archive) -> Checked:
    found = _Found.of(archive)
    return Checked(
        place=str(path),
        what="evidence",
        files=len(archive.files),
        digests=tuple(found.digests()),
        differences=tuple(found.differences()),
    )


@dataclass(frozen=True, eq=False)
class _Found:
    """A zip, what its checksums list, and why these cannot be read, or ""."""

    archive: Archive
    sums: Sums
    fault: str

    @classmethod
    def of(cls, archive: Archive) -> _Found:
        """Read the checksums."""
        try:
            return cls(archive, read_sums(archive.files[SUMS]), "")
        except ForeignFileError as error:
            return cls(archive, Sums(), str(error))

    def digests(self) -> Iterator[Digest]:
        """Of the runs, computed where their manifests are in the zip, and of the zip."""
        computed = {name: sha256(self.archive.files[name]) for name in self._manifests()}
        for name, value in computed.items():
            yield Digest(_run(name), value)
        for said in [] if computed else self.sums.remarks:
            of, _, value = said.partition(": ")
            if of.startswith(TOLD) and HEX.fullmatch(value):
                yield Digest(of.removeprefix("digest of "), value, stated=True)
        yield Digest("the zip", sha256(self.archive.files[SUMS]))

    def differences(self) -> Iterator[Difference]:
        """Each once: files, lists, then what holds them together."""
        found: dict[str, Difference] = {}
        for one in (*self._of_sums(), *self._of_files(), *self._of_runs(), *self._of_remarks()):
            found.setdefault(one.name, one)
        yield from found.values()
        if not found and self.archive.differs_at is not None:
            at = self.archive.differs_at
            why = f"byte {at} is not as memaudit writes it, though all files are as they were"
            yield Difference(HEADERS, CHANGED, why)

    def _of_sums(self) -> Iterator[Difference]:
        if self.fault:
            yield Difference(SUMS, CHANGED, self.fault)
        elif SUMS in self.archive.damaged:
            yield Difference(SUMS, CHANGED, "it is not what was put into the zip")

    def _of_files(self) -> Iterator[Difference]:
        files, listed = self.archive.files, {} if self.fault else self.sums.files
        for name in sorted({*files, *listed} - {SUMS}):
            if name not in files:
                yield Difference(name, MISSING, f"{SUMS} lists it")
            elif self.fault:
                if name in self.archive.damaged:
                    yield Difference(name, CHANGED, "it is not what was put into the zip")
            elif name not in listed:
                yield Difference(name, EXTRA, f"{SUMS} does not list it")
            elif sha256(files[name]) != listed[name]:
                yield Difference(name, CHANGED, f"its sha256 is not the one listed in {SUMS}")

    def _of_runs(self) -> Iterator[Difference]:
        """What is not as the manifest of its run has it, though the checksums may say so."""
        for name in self._manifests():
            folder = name.removesuffix(MANIFEST)
            try:
                sealed = read_manifest(self.archive.files[name]).sums
            except ValidationError:
                yield Difference(name, CHANGED, "it holds no seals of files")
                continue
            for one in sorted(sealed):
                content = self.archive.files.get(folder + one)
                if content is not None and sha256(content) != sealed[one]:
                    why = f"its sha256 is not the one listed in {name}"
                    yield Difference(folder + one, CHANGED, why)

    def _of_remarks(self) -> Iterator[Difference]:
        """Digests that the checksums state must be those of the manifests."""
        told = [said.partition(": ")[2] for said in self.sums.remarks if said.startswith(TOLD)]
        computed = [sha256(self.archive.files[name]) for name in self._manifests()]
        if computed and not self.fault and sorted(told) != sorted(computed):
            yield Difference(SUMS, CHANGED, "it states another digest of the run than it has")

    def _manifests(self) -> list[str]:
        return [name for name in sorted(self.archive.files) if Path(name).name == MANIFEST]


def _run(manifest: str) -> str:
    folder = manifest.removesuffix(MANIFEST).rstrip("/")
    return f"the run in {folder}" if folder else "the run"

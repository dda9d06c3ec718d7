"""A run directory, held to its manifest and its checksums."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from memaudit.errors import ForeignFileError, RunDirectoryError
from memaudit.foreign import open_regular, read_file
from memaudit.run.directory import REPORT, SCAN, RunDirectory
from memaudit.run.manifest import MANIFEST, is_as_written, read_manifest, unsealed
from memaudit.run.store import OWN
from memaudit.run.sums import SUMS, SUMS_BYTES, is_plain, read_sums, sha256
from memaudit.verify.result import CHANGED, EXTRA, MISSING, Checked, Difference, Digest

MANIFEST_BYTES = 256 << 20
UNLISTED = {REPORT, "report.md", "evidence.zip", *OWN}  # what memaudit writes, and seals nowhere


def check_run(path: Path) -> Checked:
    """Hold a finished run to its checksums; raises RunDirectoryError if it is not finished."""
    RunDirectory.at(path).expect_finished()
    found = _Found.at(path)
    names = [*found.sealed, *((REPORT,) if REPORT in found.listed else ())]
    differences = [*found.faults, *found.of_files(names), *_extra(path, {*names, SUMS})]
    digests = (Digest("the run", found.manifest),) if found.manifest else ()
    return Checked(str(path), "run", len(names) + 2, digests, tuple(differences))


@dataclass(frozen=True)
class _Found:
    """The two lists of a run: its manifest and its checksums.

    `manifest` is the sha256 of the manifest, "" if it is not there. `sealed` is what counts: what
    the manifest lists, or where the checksums do not know that manifest, what they list. `faults`
    say what is wrong with the lists themselves.
    """

    path: Path
    manifest: str
    sealed: Mapping[str, str]
    listed: Mapping[str, str]
    faults: tuple[Difference, ...]

    @classmethod
    def at(cls, path: Path) -> _Found:
        """Read both; raises RunDirectoryError for a run that was never sealed."""
        faults: list[Difference] = []
        listed = _checksums(path, faults)
        content, sealed = _manifest(path, faults)
        digest = "" if content is None else sha256(content)
        by_sums = {name: one for name, one in listed.items() if name not in (MANIFEST, REPORT)}
        counts = by_sums if sealed is None else sealed
        if listed and sealed is not None and listed[MANIFEST] != digest:
            counts = by_sums
            why = f"its sha256 is {digest}, and {SUMS} has {listed[MANIFEST]}"
            faults.append(Difference(MANIFEST, CHANGED, why))
            if sealed == by_sums:
                faults.append(Difference(SUMS, CHANGED, f"or it was not {MANIFEST} that was"))
        elif listed and sealed is not None and sealed != by_sums:
            why = f"it does not list what {MANIFEST} does"
            faults.append(Difference(SUMS, CHANGED, why))
        return cls(path, digest, counts, listed, tuple(faults))

    def of_files(self, names: list[str]) -> Iterator[Difference]:
        """Which of the listed files are not as they are listed."""
        where = SUMS if self.listed and self.listed[MANIFEST] != self.manifest else MANIFEST
        for name in sorted(names):
            expected = self.sealed.get(name) or self.listed[name]
            by = where if name in self.sealed else SUMS
            if not os.path.lexists(self.path / name):
                yield Difference(name, MISSING, f"{by} lists it")
                continue
            try:
                found = _sha256(self.path / name)
            except ForeignFileError as error:
                yield Difference(name, CHANGED, str(error))
                continue
            if found != expected:
                or_list = " (one of the two was changed)" if name == REPORT else ""
                why = f"its sha256 is not the one listed in {by}{or_list}"
                yield Difference(name, CHANGED, why)


def _checksums(path: Path, faults: list[Difference]) -> Mapping[str, str]:
    """The checksums as a list, empty where they cannot be read."""
    try:
        text = _read(path / SUMS, SUMS_BYTES)
        listed = None if text is None else read_sums(text).files
    except ForeignFileError as error:
        faults.append(Difference(SUMS, CHANGED, str(error)))
        return {}
    if listed is None:
        faults.append(Difference(SUMS, MISSING, "a finished run has one"))
    elif MANIFEST not in listed:
        faults.append(Difference(SUMS, CHANGED, f"it does not list {MANIFEST}"))
    else:
        return listed
    return {}


def _manifest(
    path: Path, faults: list[Difference]
) -> tuple[bytes | None, Mapping[str, str] | None]:
    """The manifest as text, and what it lists; None where it is not there or makes no sense.

    Raises RunDirectoryError for one that lists no finished run.
    """
    content = None
    try:
        content = _read(path / MANIFEST, MANIFEST_BYTES)
        if content is None:
            faults.append(Difference(MANIFEST, MISSING, "a finished run has one"))
            return None, None
        manifest = read_manifest(content)
    except (ForeignFileError, ValidationError):
        faults.append(Difference(MANIFEST, CHANGED, "it holds no seals of files"))
        return content, None
    if not (is_as_written(manifest, content) and all(map(is_plain, manifest.sums))):
        faults.append(Difference(MANIFEST, CHANGED, "it is not as memaudit writes it"))
        return content, None
    if not manifest.files:
        raise RunDirectoryError(unsealed(str(path), MANIFEST))
    return content, manifest.sums


def _read(path: Path, limit: int) -> bytes | None:
    return read_file(path, limit) if os.path.lexists(path) else None


def _sha256(path: Path) -> str:
    """The hex digest of a regular file, read in pieces; raises ForeignFileError."""
    with open_regular(path) as file:
        try:
            return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise ForeignFileError(f"cannot be read: {error.strerror}") from error


def _extra(path: Path, known: set[str]) -> Iterator[Difference]:
    """Files, and links, that no list has; links are not followed."""
    known = {*known, MANIFEST, SCAN, *UNLISTED}
    for folder, folders, names in os.walk(path):
        folders.sort()
        links = [one for one in folders if Path(folder, one).is_symlink()]
        for name in sorted([*names, *links]):
            there = Path(folder, name).relative_to(path).as_posix()
            if there not in known:
                yield Difference(there, EXTRA, "no list of the run has it")

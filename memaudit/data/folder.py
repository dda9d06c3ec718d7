"""A folder of image files."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from memaudit.data.files import Listing, place_file, read_file, stamp
from memaudit.data.metadata import METADATA_NAMES, Told, read_metadata, write_metadata
from memaudit.data.source import (
    FOLDER,
    Columns,
    Entry,
    folder_of,
    is_image,
    ordered,
    refusal,
    shown,
)
from memaudit.errors import DataError, UnreadableImageError


class ImageFolder:
    """The images of a folder and its sub-folders, with the prompts and clusters of their metadata.

    An image no metadata lists has an empty prompt; a listed one that is missing becomes an
    entry whose read fails. Where two metadata files name one image, the deeper one counts.
    """

    def __init__(self, listing: Listing, columns: Columns) -> None:
        self.root = listing.root
        self._listing = listing
        self._columns = columns

    def entries(self) -> list[Entry]:
        """List the images; see Source.entries."""
        images = {name: Told(name, "", "") for name in self._listing.files if is_image(name)}
        images |= self._told()
        # A broken link that metadata lists is already there, with its reason.
        known = {entry.source for entry in self._listing.unreadable}
        found = [self._entry(name, told) for name, told in images.items()]
        kept = [entry for entry in found if entry.source not in known]
        return ordered(kept + self._listing.unreadable, self.root)

    def read(self, entry: Entry) -> bytes:
        """Read one file; see Source.read."""
        if not isinstance(entry.key, str):
            raise refusal(entry)
        if entry.key.startswith(("/", "../")):
            raise UnreadableImageError(
                "metadata name a file outside the data set: move it into the folder"
            )
        return read_file(self.root / entry.key)

    def extract(self, entries: Iterable[Entry], folder: Path) -> str:
        """Link files, and write the metadata of them; see Source.extract.

        Files beside an image that are called as it but for what follows a dot go with it.
        """
        chosen = {entry.key for entry in entries if isinstance(entry.key, str)}
        for name in sorted([*chosen, *self._beside(chosen)]):
            place_file(self.root / name, folder / name)
        for name in self._metadata():
            write_metadata(self.root / name, folder / name, _Named(name, chosen))
        return ""

    def _beside(self, images: set[str]) -> list[str]:
        stems = images | {name.rpartition(".")[0] for name in images}
        others = [name for name in self._listing.files if not is_image(name)]
        return [
            name
            for name in others
            if name.rpartition(".")[0] in stems and Path(name).name not in METADATA_NAMES
        ]

    def _metadata(self) -> list[str]:
        found = [name for name in self._listing.files if Path(name).name in METADATA_NAMES]
        return sorted(found, key=lambda name: (name.count("/"), name))

    def _entry(self, name: str, told: Told) -> Entry:
        source, mark = shown(name), stamp(self.root / name)
        # One string for both where they are equal: there may be millions.
        key = source if source == name else name
        cluster = folder_of(name) if self._columns.cluster == FOLDER else told.cluster
        return Entry(source, key, mark, told.prompt, cluster)

    def _told(self) -> dict[str, Told]:
        found = self._metadata()
        self._expect(found, "--caption-column", self._columns.caption)
        self._expect(found, "--cluster-column", self._columns.cluster_field)
        images: dict[str, Told] = {}
        for name in found:
            for told in read_metadata(self.root / name, self._columns):
                images[_named_in(name, told.file_name)] = told
        return images

    def _expect(self, found: list[str], option: str, column: str | None) -> None:
        if column is not None and not found:
            raise DataError(
                f"{option} {column} needs a metadata.csv, .jsonl or .parquet in {self.root}, found "
                f"none. Add one with the columns file_name and {column}, or leave the option out."
            )


@dataclass(frozen=True)
class _Named:
    """Whether a row of a metadata file names one of some images."""

    metadata: str
    images: set[str]

    def __call__(self, file_name: str) -> bool:
        return _named_in(self.metadata, file_name) in self.images


def _named_in(metadata: str, file_name: str) -> str:
    """The path, from the root, of an image that a metadata file names."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(metadata), file_name))

"""A folder of image files."""

from __future__ import annotations

import posixpath
from pathlib import Path

from memaudit.data.files import Listing, read_file, stamp
from memaudit.data.metadata import METADATA_NAMES, read_captions
from memaudit.data.source import Entry, is_image, ordered, refusal, shown
from memaudit.errors import DataError, UnreadableImageError


class ImageFolder:
    """The images of a folder and its sub-folders, with the prompts their metadata give.

    An image no metadata lists has an empty prompt; a listed one that is missing becomes an
    entry whose read fails. Where two metadata files name one image, the deeper one counts.
    """

    def __init__(self, listing: Listing, caption_column: str | None = None) -> None:
        self.root = listing.root
        self._listing = listing
        self._caption_column = caption_column

    def entries(self) -> list[Entry]:
        """List the images; see Source.entries."""
        prompts = dict.fromkeys(filter(is_image, self._listing.files), "")
        prompts |= self._captions()
        # A broken link that metadata lists is already there, with its reason.
        known = {entry.source for entry in self._listing.unreadable}
        found = [self._entry(name, prompt) for name, prompt in prompts.items()]
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

    def _entry(self, name: str, prompt: str) -> Entry:
        source = shown(name)
        # One string for both where they are equal: there may be millions.
        return Entry(source, source if source == name else name, stamp(self.root / name), prompt)

    def _captions(self) -> dict[str, str]:
        found = [name for name in self._listing.files if Path(name).name in METADATA_NAMES]
        if self._caption_column is not None and not found:
            raise DataError(
                f"--caption-column {self._caption_column} needs a metadata.csv, .jsonl or .parquet "
                f"in {self.root}, found none. Add one with the columns file_name and "
                f"{self._caption_column}, or leave the option out."
            )
        captions: dict[str, str] = {}
        for name in sorted(found, key=lambda name: (name.count("/"), name)):
            for image, prompt in read_captions(self.root / name, self._caption_column):
                path = posixpath.normpath(posixpath.join(posixpath.dirname(name), image))
                captions[path] = prompt
        return captions

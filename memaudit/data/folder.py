"""A folder of image files."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from memaudit.data.captions import FIELDS, TEXTS, Beside, Kept, Told
from memaudit.data.files import Listing, named_in, place_file, read_named, stamp
from memaudit.data.keyed import Keys, is_keyed
from memaudit.data.metadata import Rename, is_metadata, read_metadata, write_metadata
from memaudit.data.source import (
    FOLDER,
    Columns,
    Damage,
    Entry,
    folder_of,
    is_image,
    ordered,
    refusal,
    suffix,
    unpacked,
)
from memaudit.errors import DataError
from memaudit.foreign import read_file
from memaudit.text import encodable

Names = dict[str, str]  # extension in lower case -> file


@dataclass(frozen=True)
class Above:
    """A metadata file above a split: where it is, and the way from its folder to the split."""

    path: Path
    way: str

    def named(self, name: str) -> str:
        """The path, from the split, of an image that it names; "" for one of another split."""
        path = named_in(self.path.parent, "", name)
        return path.removeprefix(f"{self.way}/") if path.startswith(f"{self.way}/") else ""


class ImageFolder:
    """The images of a folder and its sub-folders, with what is told of them.

    That comes from metadata files, else from a .txt, .caption or .json file of the image's name.
    An image that nothing tells of has an empty prompt; one that metadata list and that is missing
    becomes an entry whose read fails, and so does a text without its image. Where two metadata
    files name one image, the deeper one counts.
    """

    def __init__(self, listing: Listing, columns: Columns, above: Iterable[Above] = ()) -> None:
        self.root = listing.root
        self._listing = listing
        self._columns = columns
        self._above = list(above)

    def entries(self) -> list[Entry]:
        """List the images; see Source.entries."""
        keep = Kept()
        images = {name: Told() for name in self._listing.files if is_image(name)}
        beside, twice = self._texts()
        told = self._told()
        self._expect(told is not None, beside)
        images |= {name: keep(one) for name, one in (told or {}).items()}
        for name, one in images.items():
            stem, _, extension = name.rpartition(".")
            if stem in beside and not (one.prompt or one.lost):
                images[name] = keep(self._beside(beside[stem], extension.lower(), one))
        # A broken link that metadata lists is already there, with its reason.
        known = {entry.source for entry in self._listing.unreadable}
        found = [self._entry(name, one) for name, one in images.items()]
        kept = [entry for entry in found if entry.source not in known]
        lone = [*twice, *self._without_image(beside, images)]
        return ordered([*kept, *lone, *self._listing.unreadable], self.root)

    def read(self, entry: Entry) -> bytes:
        """Read one file; see Source.read."""
        if not isinstance(entry.key, str):
            raise refusal(entry)
        return read_named(self.root, entry.key)

    def extract(self, entries: Iterable[Entry], folder: Path) -> str:
        """Link files, and write the metadata of them; see Source.extract.

        Files beside an image that are called as it but for what follows a dot go with it.
        """
        chosen = {entry.key for entry in entries if isinstance(entry.key, str)}
        for name in sorted([*chosen, *self._others(chosen)]):
            place_file(self.root / name, folder / name)
        for name in self._metadata():
            write_metadata(self.root / name, folder / name, self._kept(name, chosen))
        for above in self._above:
            target = folder / above.path.name
            if target.exists():
                raise DataError(
                    f"{above.path} and the metadata file of its name in {self.root} cannot both be "
                    "copied into one folder; join them, or give one another format"
                )
            write_metadata(above.path, target, self._moved(above, chosen))
        return ""

    def _others(self, images: set[str]) -> list[str]:
        stems = images | {name.rpartition(".")[0] for name in images}
        others = [name for name in self._listing.files if not is_image(name)]
        return [name for name in others if _stem(name) in stems and not is_metadata(name)]

    def _kept(self, metadata: str, images: set[str]) -> Rename:
        """Keep the names of some images; whole paths start from the folder of the metadata."""
        folder = posixpath.dirname(metadata) or "."

        def rename(name: str) -> str | None:
            path = self._named(metadata, name)
            if path not in images:
                return None
            return posixpath.relpath(path, folder) if posixpath.isabs(name) else name

        return rename

    def _moved(self, above: Above, images: set[str]) -> Rename:
        """Name some images as they are called from the split."""
        return lambda name: path if (path := self._named_above(above, name)) in images else None

    def _metadata(self) -> list[str]:
        found = [name for name in self._listing.files if is_metadata(name)]
        return sorted(found, key=lambda name: (name.count("/"), name))

    def _entry(self, name: str, told: Told) -> Entry:
        source, mark = encodable(name), stamp(self.root / name)
        # One string for both where they are equal: there may be millions.
        key = source if source == name else name
        cluster = folder_of(name) if self._columns.cluster == FOLDER else told.cluster
        return Entry(source, key, mark, told.prompt, cluster, told.lost)

    def _told(self) -> dict[str, Told] | None:
        """What metadata tell, by the path of the image; None where there is no metadata file."""
        images: dict[str, Told] = {}
        for above in self._above:
            named = partial(self._named_above, above)
            _join(images, ((named(name), told) for name, told in self._rows(above.path)))
        found = self._metadata()
        for file in found:
            rows = self._rows(self.root / file)
            _join(images, ((self._named(file, name), told) for name, told in rows))
        return images if found or self._above else None

    def _named(self, metadata: str, name: str) -> str:
        """The path of an image that metadata name; of one that is not there the name."""
        folder = posixpath.dirname(metadata)
        key = is_keyed(metadata) and self._keys.image_of(folder, name)
        return key or named_in(self.root, folder, name)

    def _named_above(self, above: Above, name: str) -> str:
        """The path of an image that metadata above name; "" for one of another split."""
        return above.named(name) or (
            self._keys.image_of("", name) if is_keyed(above.path.name) else ""
        )

    @cached_property
    def _keys(self) -> Keys:
        return Keys(self.root, filter(is_image, self._listing.files))

    def _rows(self, path: Path) -> Iterator[tuple[str, Told]]:
        return read_metadata(path, self._columns)

    def _texts(self) -> tuple[dict[str, Names], list[Entry]]:
        """The files that may tell of an image, by its stem, and those of a name that is taken."""
        beside: dict[str, Names] = defaultdict(dict)
        twice = []
        for name in self._listing.files:
            if suffix(unpacked(name) or name) not in (*TEXTS, FIELDS):
                continue
            stem = _stem(name)
            names, kind = beside[stem], name[len(stem) + 1 :].lower()  # txt, or txt.gz
            if kind in names:
                why = f"another file, {names[kind]}, has its name but for the case of letters"
                twice.append(
                    Entry(encodable(name), Damage(encodable(why)), stamp(self.root / name))
                )
            names.setdefault(kind, name)
        return beside, twice

    def _beside(self, names: Names, extension: str, told: Told) -> Told:
        read = partial(self._read_beside, names)
        found = Beside(names, read, self._columns).told(extension)
        return Told(found.prompt, told.cluster or found.cluster, found.lost)

    def _read_beside(self, names: Names, extension: str, limit: int) -> bytes:
        return read_file(self.root / names[extension], limit)

    def _without_image(self, beside: dict[str, Names], images: Iterable[str]) -> Iterator[Entry]:
        """Texts without an image of their name, where others have one."""
        texts = {
            stem: file
            for stem, names in beside.items()
            for kind, file in names.items()
            if (unpacked(kind) or kind) in TEXTS
        }
        stems = {name.rpartition(".")[0] for name in images}
        if stems.isdisjoint(texts):
            return
        why = Damage("a text without an image of its name, where other images have such captions")
        for stem in texts.keys() - stems:
            yield Entry(encodable(texts[stem]), why, stamp(self.root / texts[stem]))

    def _expect(self, metadata: bool, beside: dict[str, Names]) -> None:
        asked = {
            "--caption-column": self._columns.caption,
            "--cluster-column": self._columns.cluster_field,
        }
        for option, column in asked.items():
            if column is None or metadata or any(FIELDS in names for names in beside.values()):
                continue
            raise DataError(
                f"{option} {column} needs a metadata.csv, .jsonl or .parquet in {self.root}, found "
                f"none, nor .json files beside the images. Add one with the columns file_name and "
                f"{column}, or leave the option out."
            )


def _stem(name: str) -> str:
    """A name without its extension, and without that of its packing."""
    return (unpacked(name) or name).rpartition(".")[0]


def _join(images: dict[str, Told], rows: Iterator[tuple[str, Told]]) -> None:
    """Add what one metadata file tells; of two rows for an image the last, which is said."""
    own: dict[str, Told] = {}
    for name, told in rows:
        if not name:
            continue
        twice = name in own and own[name].prompt != told.prompt
        lost = told.lost or "an earlier row of metadata has another caption" * twice
        own[name] = Told(told.prompt, told.cluster, lost)
    images |= own

"""WebDataset tar archives."""

from __future__ import annotations

import io
import json
import tarfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from memaudit.data.files import Listing, read_file, reason, stamp
from memaudit.data.source import (
    CAPTION_NAMES,
    FOLDER,
    IMAGE_NAMES,
    Columns,
    Damage,
    Entry,
    Member,
    cluster_of,
    folder_of,
    is_image,
    ordered,
    prompt_of,
    refusal,
    shown,
)
from memaudit.errors import DataError, UnreadableImageError

Members = dict[str, tarfile.TarInfo]  # extension -> member
NAMES: Any = {"encoding": "utf-8", "errors": "surrogateescape"}  # how they are read and written


class ShardSource:
    """The images of tar archives in which files that share a key are one sample.

    The key is the path up to the first dot of its last part, the extension what follows.
    A sample's images are those with an image extension; if there is none, those that end in one
    ("seg.png"); `image_column` picks one extension instead. The prompt comes from key.txt, else
    from key.json, and so does the cluster. The archive is listed with tarfile, not with the
    webdataset package: that one streams, and resuming needs offsets.
    """

    def __init__(self, listing: Listing, columns: Columns) -> None:
        self.root = listing.root
        self._listing = listing
        self._extension = columns.image
        self._field = columns.caption
        self._columns = columns

    def entries(self) -> list[Entry]:
        """List the images of all archives; see Source.entries."""
        found = [entry for name in self._listing.files for entry in self._archive(name)]
        self._expect("caption", self._field, any(entry.prompt for entry in found) or not found)
        cluster = self._columns.cluster_field
        self._expect("cluster", cluster, any(entry.cluster for entry in found) or not found)
        return ordered(found + self._listing.unreadable, self.root)

    def read(self, entry: Entry) -> bytes:
        """Read one member; see Source.read."""
        key = entry.key
        if not isinstance(key, Member):
            raise refusal(entry)
        return read_file(self.root / key.file, key.offset, key.size)

    def extract(self, entries: Iterable[Entry], folder: Path) -> str:
        """Copy samples, of their images those among the entries; see Source.extract."""
        chosen: dict[str, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
        for entry in entries:
            if isinstance(entry.key, Member):
                chosen[entry.key.file][entry.key.sample].add(entry.key.offset)
        for name, samples in sorted(chosen.items()):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            with tarfile.open(folder / name, "w", **NAMES) as archive:
                for member in self._chosen(self.root / name, samples):
                    _copy(self.root / name, member, archive)
        return ""

    def _chosen(self, path: Path, chosen: dict[str, set[int]]) -> Iterator[tarfile.TarInfo]:
        samples: dict[str, Members] = defaultdict(dict)
        _list_members(path, samples)
        for key in filter(chosen.__contains__, samples):
            members = samples[key]
            images = set(self._images(members))
            for extension, member in members.items():
                if extension not in images or member.offset_data in chosen[key]:
                    yield member

    def _archive(self, name: str) -> Iterator[Entry]:
        path, mark = self.root / name, stamp(self.root / name)
        samples: dict[str, Members] = defaultdict(dict)
        damage = _list_members(path, samples)
        for key, members in samples.items():
            images = self._images(members)
            fields = self._fields(path, members) if images else {}
            prompt = self._prompt(path, members, fields) if images else ""
            cluster = self._cluster(key, fields)
            for extension in images:
                place = _key(name, members[extension], key)
                source = f"{shown(name)}#{shown(f'{key}.{extension}')}"
                yield Entry(source, place, mark, prompt, cluster)
        if damage:
            yield Entry(shown(name), Damage(damage), mark)

    def _images(self, members: Members) -> list[str]:
        if self._extension is not None:
            return [self._extension] if self._extension in members else []
        plain = [extension for extension in members if extension.lower() in IMAGE_NAMES]
        return plain or [extension for extension in members if is_image(extension)]

    def _expect(self, kind: str, field: str | None, found: bool) -> None:
        if field is not None and not found:
            raise DataError(
                f"no sample of {self.root} has a {kind} {field!r} in its .json file. "
                f"Name a field that is there with --{kind}-column."
            )

    def _fields(self, path: Path, members: Members) -> dict[str, Any]:
        """The fields of a sample's .json file; none where it has none or nothing asks for them."""
        by_text = self._field is None and "txt" in members
        if "json" not in members or (by_text and self._columns.cluster_field is None):
            return {}
        try:
            fields = json.loads(_text(path, members["json"]))
        except ValueError:
            return {}
        return fields if isinstance(fields, dict) else {}

    def _prompt(self, path: Path, members: Members, fields: dict[str, Any]) -> str:
        if self._field is None and "txt" in members:
            return prompt_of(_text(path, members["txt"]))
        names = CAPTION_NAMES if self._field is None else (self._field,)
        return next(filter(None, map(prompt_of, map(fields.get, names))), "")

    def _cluster(self, key: str, fields: dict[str, Any]) -> str:
        if self._columns.cluster == FOLDER:
            return folder_of(key)
        field = self._columns.cluster_field
        return "" if field is None else cluster_of(fields.get(field))


def _list_members(path: Path, samples: dict[str, Members]) -> str:
    """Add an archive's members to samples, the last of equal names; say what damage ended it."""
    try:
        with tarfile.open(path, "r:", **NAMES) as archive:
            for member in archive:
                folder, slash, name = member.name.rpartition("/")
                stem, _, extension = name.partition(".")
                if not member.isdir() and stem:
                    samples[folder + slash + stem][extension] = member
            return _unended(path, archive.offset)
    except (tarfile.TarError, OSError, ValueError) as error:
        return f"the archive is damaged: {reason(error)}; members from there on are lost"


def _unended(path: Path, end: int) -> str:
    # tarfile takes a header it cannot parse for the end of the archive.
    with path.open("rb") as file:
        file.seek(end)
        block = file.read(tarfile.BLOCKSIZE)
    if block == tarfile.NUL * tarfile.BLOCKSIZE:
        return ""
    what = "a block that is no header" if block else "the end of the file"
    return (
        f"the archive is damaged: expected its end mark at byte {end}, found {what}; "
        "members from there on are lost"
    )


def _key(name: str, member: tarfile.TarInfo, sample: str) -> Member | Damage:
    if not member.isreg() or member.issparse():
        return Damage("the member is a link, a device or a sparse file: store it as a plain file")
    return Member(name, member.offset_data, member.size, sample)


def _copy(path: Path, member: tarfile.TarInfo, archive: tarfile.TarFile) -> None:
    """Copy a plain member; links, sparse files and what the end of the archive cut off are left."""
    if member.isreg() and not member.issparse():
        with suppress(UnreadableImageError):
            data = read_file(path, member.offset_data, member.size)
            archive.addfile(member, io.BytesIO(data))


def _text(path: Path, member: tarfile.TarInfo) -> str:
    try:
        return read_file(path, member.offset_data, member.size).decode("utf-8", "replace")
    except UnreadableImageError:
        return ""  # the archive ends within its caption, which its listing reports

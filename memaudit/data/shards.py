"""WebDataset tar archives."""

from __future__ import annotations

import io
import tarfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from memaudit import foreign
from memaudit.data.archive import NAMES, Archived, list_archive
from memaudit.data.captions import FIELDS, TEXTS, Beside, Kept, Told, names_beside
from memaudit.data.fields import Fields
from memaudit.data.files import Listing, read_file, stamp
from memaudit.data.source import (
    FOLDER,
    Columns,
    Damage,
    Entry,
    Member,
    folder_of,
    is_image,
    listed,
    ordered,
    refusal,
    suffix,
    unpacked,
    why_unread,
)
from memaudit.errors import DataError, ForeignFileError, UnreadableImageError
from memaudit.text import encodable

NOT_PLAIN = "the member is a link, a device or a sparse file: store it as a plain file"

Members = dict[str, Archived]  # extension in lower case -> member


@dataclass(frozen=True, eq=False)
class Sample:
    """The members that share a key; `number` counts those of an archive that share it, from 1."""

    key: str
    number: int
    members: Members

    @property
    def images(self) -> list[str]:
        """The extensions of what ends like an image."""
        return [extension for extension in self.members if is_image(extension)]

    @property
    def packed(self) -> list[str]:
        """The extensions of images that are packed, such as png.gz."""
        return [extension for extension in self.members if is_image(unpacked(extension))]

    @property
    def name(self) -> str:
        """The key; of a second sample of it with the number, which no name in an archive has."""
        return self.key if self.number == 1 else f"{self.key} ({self.number})"

    def with_images_at(self, offsets: set[int]) -> Iterator[Archived]:
        """The members but for images elsewhere, and what tells of these alone."""
        left = {one for one in self.images if self.members[one].offset not in offsets}
        alone = set(map(_inner, left)) - {"", *map(_inner, set(self.images) - left)}
        for extension, member in self.members.items():
            if extension not in left and _inner(extension) not in alone:
                yield member


class ShardSource:
    """The images of tar archives in which files that share a key are one sample.

    The key is the path up to the first dot of its last part, the extension what follows, in any
    case. Every member whose name ends like an image's is an image, but for one such as seg.png
    beside a plain png: a field of the sample, which `image_column` picks. Of equal names the second
    belongs to a second sample of the key. The caption comes from key.txt, key.caption or key.json,
    and so does the cluster; `caption_column` picks a field of the JSON, or texts such as alt.txt. A
    text that is the caption of no image is an entry whose read fails. The archive is listed with
    tarfile, not with the webdataset package: that one streams, and resuming needs offsets.
    """

    def __init__(self, listing: Listing, columns: Columns) -> None:
        self.root = listing.root
        self._listing = listing
        self._extension = None if columns.image is None else columns.image.lower()
        self._columns = columns

    def entries(self) -> list[Entry]:
        """List the images of all archives; see Source.entries."""
        keep = Kept()
        found = [entry for name in self._listing.files for entry in self._archive(name, keep)]
        field, cluster = self._columns.caption, self._columns.cluster_field
        self._expect("caption", field, any(entry.prompt for entry in found) or not found)
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

    def _chosen(self, path: Path, chosen: dict[str, set[int]]) -> Iterator[Archived]:
        for sample in _samples(list_archive(path)[0]):
            if sample.name in chosen:
                yield from sample.with_images_at(chosen[sample.name])

    def _archive(self, name: str, keep: Kept) -> Iterator[Entry]:
        path, mark = self.root / name, stamp(self.root / name)
        members, damage = list_archive(path)
        samples = list(_samples(members))
        found = [entry for sample in samples for entry in self._images(name, sample, mark, keep)]
        yield from found
        if found and self._extension is None:
            for sample in samples:
                for extension, why in self._unread(sample):
                    yield Entry(_source(name, sample, extension), Damage(why), mark)
        for sample in samples:
            for extension in filter(self._is_asked_for, sample.packed):
                yield Entry(_source(name, sample, extension), Damage(why_unread(extension)), mark)
        if damage:
            yield Entry(encodable(name), Damage(damage), mark)

    def _images(self, name: str, sample: Sample, mark: str, keep: Kept) -> Iterator[Entry]:
        read = partial(_read, self.root / name, sample.members)
        beside = Beside(sample.members, read, self._columns)
        fields = Fields(sample.images)
        for extension in sample.images:
            key = self._key(name, sample, extension, fields.image_of(extension))
            if key is None:
                continue
            told = Told() if isinstance(key, Damage) else keep(beside.told(extension))
            source, cluster = _source(name, sample, extension), self._cluster(sample, told)
            yield Entry(source, key, mark, told.prompt, cluster, told.lost)

    def _key(self, name: str, sample: Sample, extension: str, of: str) -> Member | Damage | None:
        """Where an image is; why it cannot be read; None if another one is asked for."""
        member = sample.members[extension]
        if not self._is_asked_for(extension):
            return None
        if not member.plain:
            return Damage(NOT_PLAIN)
        if self._extension is None and of:
            name, image = _field(extension), listed([of])
            return Damage(
                f"{name} beside the image {image} of the sample is taken for a mask or the like; "
                f"name it with --image-column {name} to read it instead"
            )
        return Member(name, member.offset, member.size, sample.name)

    def _is_asked_for(self, extension: str) -> bool:
        """Whether an image, packed or not, is one of those that are to be read."""
        called = unpacked(extension) or extension
        return self._extension is None or _is_called(called, self._extension)

    def _unread(self, sample: Sample) -> Iterator[tuple[str, str]]:
        """Texts that are the caption of no image, and why; none where a column is asked for."""
        images = [*sample.images, *map(unpacked, sample.packed)]
        if images and self._columns.caption is not None:
            return
        read = {text for image in images for text in names_beside(image, TEXTS)}
        for extension in sample.members:
            called = unpacked(extension) or extension
            if suffix(called) not in TEXTS or called in read:
                continue
            text = _field(extension)
            why = (
                f"{text} is not called as captions are (txt, caption.txt): rename it, or take all "
                f"of its name for captions with --caption-column {text}"
            )
            yield extension, why if images else "a caption without an image of its key"

    def _expect(self, kind: str, field: str | None, found: bool) -> None:
        if field is not None and not found:
            raise DataError(
                f"no sample of {self.root} has a {kind} {field!r} in its .{FIELDS} file, nor is a "
                f"text called so. Name a field that is there with --{kind}-column."
            )

    def _cluster(self, sample: Sample, told: Told) -> str:
        return folder_of(sample.key) if self._columns.cluster == FOLDER else told.cluster


def _samples(members: list[Archived]) -> Iterator[Sample]:
    """Group members by key, wherever they stand; the second of a name opens a second sample."""
    samples: dict[str, list[Members]] = defaultdict(list)
    for member in members:
        folder, slash, name = member.name.rpartition("/")
        stem, _, extension = name.partition(".")
        if not stem:
            continue
        of_key = samples[folder + slash + stem]
        free = next((one for one in of_key if extension.lower() not in one), None)
        if free is None:
            free = {}
            of_key.append(free)
        free[extension.lower()] = member
    for key, of_key in samples.items():
        yield from (Sample(key, number, one) for number, one in enumerate(of_key, start=1))


def _is_called(extension: str, wanted: str) -> bool:
    """Tell whether an extension is the wanted one; v1.seg.png is called seg.png, but not png."""
    return extension == wanted or ("." in wanted and extension.endswith(f".{wanted}"))


def _field(extension: str) -> str:
    """What a field of samples is called: seg.png, also in v1.seg.png."""
    return listed([".".join(extension.split(".")[-2:])])


def _inner(extension: str) -> str:
    return extension.rpartition(".")[0]


def _source(archive: str, sample: Sample, extension: str) -> str:
    """What people are shown of a member."""
    name = encodable(sample.members[extension].name)
    numbered = name if sample.number == 1 else f"{name} ({sample.number})"
    return f"{encodable(archive)}#{numbered}"


def _read(path: Path, members: Members, extension: str, limit: int) -> bytes:
    member = members[extension]
    if not member.plain:
        raise ForeignFileError(NOT_PLAIN)
    return foreign.read_file(path, limit, offset=member.offset, size=member.size)


def _copy(path: Path, member: Archived, archive: tarfile.TarFile) -> None:
    """Copy a plain member; links, sparse files and what the end of the archive cut off are left."""
    if member.plain:
        with suppress(UnreadableImageError):
            data = read_file(path, member.offset, member.size)
            archive.addfile(member.header, io.BytesIO(data))

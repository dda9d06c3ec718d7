"""Find out what kind of data set a path holds."""

from __future__ import annotations

import posixpath
import re
import stat
from pathlib import Path, PurePosixPath

from memaudit.data.columns import open_table
from memaudit.data.files import Listing, is_outside, stamp, walk
from memaudit.data.folder import Above, ImageFolder
from memaudit.data.metadata import is_metadata
from memaudit.data.shards import ShardSource
from memaudit.data.source import (
    UNPACK,
    Columns,
    Damage,
    Entry,
    Source,
    is_image,
    suffix,
    unpacked,
    why_unread,
)
from memaudit.data.table import TableSource, holds_bytes
from memaudit.errors import DataError, ForeignFileError, UnreadableImageError
from memaudit.foreign import open_regular, reason, refusing
from memaudit.text import encodable

_PACKED_FILES = "packed files"  # a kind of files, of which nothing is read
_TABLES = frozenset(["parquet", "arrow", "feather"])
_PACKED = re.compile(
    r"\.(zip|7z|rar|tgz|tbz2?|txz|tar\.(gz|bz2|xz|zst|lz4)|tfrecords?)$", re.IGNORECASE
)
_PACKED_MAGIC = (
    *(b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18"),
    *(b"PK\x03\x04", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07"),
)
_OTHER = "metadata of a kind that is not read: expected metadata.csv, .jsonl or .parquet"
_TABLE_MAGIC = (b"PAR1", b"ARROW1", b"\xff\xff\xff\xff")
_EXPECTED = "a folder of images, or Parquet, Arrow, Feather or WebDataset .tar files"


def open_source(
    path: str | Path,
    *,
    image_column: str | None = None,
    caption_column: str | None = None,
    cluster_column: str | None = None,
    split: str | None = None,
) -> Source:
    """Open an image folder, Parquet/Arrow/Feather files or WebDataset tar archives.

    `split` picks the sub-folder of that name, else the Parquet, Arrow or tar files whose names
    start with it. `image_column` (in archives: the extension) is ignored for an image folder.
    `cluster_column` may be "folder": each image's own, inside the data set or the archive.
    Raises DataError for a path that holds no such data, or more than one kind.
    """
    root = Path(path)
    is_folder, in_split = _look(root, split)
    above: list[Above] = []
    if in_split:
        above = _above(root, str(split))
        root, split = root / str(split), None
    if is_folder:
        listing, kind = _in_folder(root, split)
    else:
        listing, kind = Listing(root.parent, [root.name]), _kind_of_file(root)
        if split is not None:
            raise DataError(f"--split picks from a folder, {root} is one file. Leave it out.")
    columns = Columns(image_column, caption_column, cluster_column)
    if kind == "tables":
        return TableSource(listing, columns)
    if kind == "archives":
        return ShardSource(listing, columns)
    return ImageFolder(listing, columns, above)


def _look(root: Path, split: str | None) -> tuple[bool, bool]:
    """Whether there is a folder, and whether the split is a folder in it; raises DataError."""
    if split is not None and is_outside(posixpath.normpath(split)):
        raise DataError(
            f"--split {split} leads out of {root}, expected the name of a folder or of files in "
            "it. Give the data set that is meant by its own path."
        )
    try:
        is_folder = stat.S_ISDIR(root.stat().st_mode)
        return is_folder, is_folder and split is not None and (root / split).is_dir()
    except (OSError, ValueError) as error:
        raise DataError(f"cannot open {root}: {reason(error)}. Expected {_EXPECTED}.") from error


def _above(root: Path, split: str) -> list[Above]:
    """The metadata files in the folders that lead to a split, the highest first."""
    way = PurePosixPath(posixpath.normpath(split))
    found = []
    for depth in range(len(way.parts)):
        folder = root.joinpath(*way.parts[:depth])
        for path in sorted(folder.iterdir()):
            if is_metadata(path.name):
                found.append(Above(path, "/".join(way.parts[depth:])))
    return found


def _in_folder(root: Path, split: str | None) -> tuple[Listing, str]:
    listing = walk(root)
    kinds = _sort_by_kind(listing.files)
    if split is not None:
        kinds = _of_split(kinds, split, listing)
    if _are_notes(root, kinds):
        del kinds["tables"]
    packed = kinds.pop(_PACKED_FILES, [])
    if len(kinds) > 1:
        counts = ", ".join(f"{len(files)} {kind}" for kind, files in kinds.items())
        raise DataError(f"{root} mixes kinds: {counts}. Give the sub-folder or file to read.")
    if not kinds and packed:
        raise _none_whole(root, packed[0])
    if not kinds:
        failed = "; ".join(
            f"{entry.source}: {getattr(entry.key, 'reason', '')}"
            for entry in listing.unreadable[:3]
        )
        raise DataError(
            f"{root} holds no image{f' ({failed})' if failed else ''}. Expected {_EXPECTED}."
        )
    [(kind, files)] = kinds.items()
    unread = {name: why_unread(name) or UNPACK for name in packed}
    if kind == "images":
        unread |= dict.fromkeys(filter(_is_other_metadata, listing.files), _OTHER)
    unreadable = listing.unreadable + [
        Entry(encodable(name), Damage(why), stamp(root / name)) for name, why in unread.items()
    ]
    return Listing(root, listing.files if kind == "images" else files, unreadable), kind


def _sort_by_kind(files: list[str]) -> dict[str, list[str]]:
    kinds: dict[str, list[str]] = {}
    for name in files:
        inside = unpacked(name)
        if is_metadata(name):
            continue
        if kind := _kind_of_name(name):
            kinds.setdefault(kind, []).append(name)
        elif _PACKED.search(inside or name) or is_metadata(inside) or _kind_of_name(inside):
            kinds.setdefault(_PACKED_FILES, []).append(name)
    return kinds


def _kind_of_name(name: str) -> str:
    """What a file is by its extension; "" for what no data set is made of."""
    if is_image(name):
        return "images"
    if suffix(name) in _TABLES:
        return "tables"
    return "archives" if suffix(name) == "tar" else ""


def _is_other_metadata(name: str) -> bool:
    """Whether a file is called metadata, and of a kind that is neither read nor said otherwise."""
    file = name.rpartition("/")[2].lower()
    known = is_metadata(name) or _kind_of_name(name) or why_unread(name)
    return file.startswith("metadata.") and not known


def _are_notes(root: Path, kinds: dict[str, list[str]]) -> bool:
    """Tell whether tables are what img2dataset notes of its shards or folders, named like them."""
    archives, images = kinds.get("archives", []), kinds.get("images", [])
    named = {name[: -len(".tar")] for name in archives}
    named |= {name.rpartition("/")[0] for name in images}
    tables = kinds.get("tables", [])
    return bool(tables) and all(
        name.rpartition(".")[0] in named and not _holds_bytes(root / name) for name in tables
    )


def _holds_bytes(path: Path) -> bool:
    try:
        with refusing(UnreadableImageError, "the table is damaged"):
            return holds_bytes(open_table(path).schema)
    except UnreadableImageError:
        return False


def _of_split(kinds: dict[str, list[str]], split: str, listing: Listing) -> dict[str, list[str]]:
    kept: dict[str, list[str]] = {}
    prefixes = {encodable(name.partition("/")[0]) for name in listing.files if "/" in name}
    for kind, files in kinds.items():
        if kind == "images":
            continue
        parts = {name: re.split(r"[-_.]", Path(name).name, maxsplit=1)[0] for name in files}
        prefixes |= {encodable(part) for part in parts.values()}
        starts = re.compile(re.escape(split) + r"[-_.]")
        if chosen := [name for name in files if starts.match(Path(name).name)]:
            kept[kind] = chosen
    if not kept:
        found = ", ".join(sorted(prefixes)[:20])
        advice = f"found: {found}. Name one of them with --split" if found else "leave --split out"
        raise DataError(f"{listing.root} has no split {split!r}; {advice}.")
    return kept


def _kind_of_file(path: Path) -> str:
    try:
        with open_regular(path) as file:
            head = file.read(512)
    except ForeignFileError as error:
        raise DataError(f"cannot open {path}: {error}. Expected {_EXPECTED}.") from error
    if head.startswith(_TABLE_MAGIC):
        return "tables"
    if head.startswith(_PACKED_MAGIC):
        raise _packed(str(path))
    # Archives older than POSIX have no mark at byte 257.
    if head[257:262] == b"ustar" or (head and suffix(path.name) == "tar"):
        return "archives"
    raise DataError(f"{path} is neither Parquet, Arrow nor tar. Expected {_EXPECTED}.")


def _none_whole(root: Path, first: str) -> DataError:
    """That all that is there is packed, or halves of files."""
    why = why_unread(first) or UNPACK
    if why == UNPACK:
        return _packed(encodable(first))
    return DataError(f"{root} holds no image; {encodable(first)} is {why}. Expected {_EXPECTED}.")


def _packed(name: str) -> DataError:
    return DataError(
        f"{name} is packed or compressed; images are read at random, which needs a folder of them "
        "or a plain .tar. Decompress it first, for instance with unzip or gzip -d."
    )

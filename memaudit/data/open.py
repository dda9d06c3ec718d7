"""Find out what kind of data set a path holds."""

from __future__ import annotations

import re
import stat
from pathlib import Path

from memaudit.data.files import Listing, reason, walk
from memaudit.data.folder import ImageFolder
from memaudit.data.metadata import METADATA_NAMES
from memaudit.data.shards import ShardSource
from memaudit.data.source import Columns, Source, is_image, shown, suffix
from memaudit.data.table import TableSource
from memaudit.errors import DataError

_TABLES = frozenset(["parquet", "arrow", "feather"])
_PACKED = re.compile(r"\.(tgz|tbz2?|txz|tar\.(gz|bz2|xz|zst|lz4))$", re.IGNORECASE)
_PACKED_MAGIC = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18")
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
    try:
        is_folder = stat.S_ISDIR(root.stat().st_mode)
        in_split = is_folder and split is not None and (root / split).is_dir()
    except (OSError, ValueError) as error:
        raise DataError(f"cannot open {root}: {reason(error)}. Expected {_EXPECTED}.") from error
    if in_split:
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
    return ImageFolder(listing, columns)


def _in_folder(root: Path, split: str | None) -> tuple[Listing, str]:
    listing = walk(root)
    kinds = _sort_by_kind(listing.files)
    if split is not None:
        kinds = _of_split(kinds, split, listing)
    if len(kinds) > 1:
        counts = ", ".join(f"{len(files)} {kind}" for kind, files in kinds.items())
        raise DataError(f"{root} mixes kinds: {counts}. Give the sub-folder or file to read.")
    if not kinds:
        failed = "; ".join(
            f"{entry.source}: {getattr(entry.key, 'reason', '')}"
            for entry in listing.unreadable[:3]
        )
        raise DataError(
            f"{root} holds no image{f' ({failed})' if failed else ''}. Expected {_EXPECTED}."
        )
    [(kind, files)] = kinds.items()
    if kind == "compressed archives":
        raise _packed(shown(files[0]))
    return (listing if kind == "images" else Listing(root, files, listing.unreadable)), kind


def _sort_by_kind(files: list[str]) -> dict[str, list[str]]:
    kinds: dict[str, list[str]] = {}
    for name in files:
        if is_image(name):
            kind = "images"
        elif Path(name).name in METADATA_NAMES:
            continue
        elif suffix(name) in _TABLES:
            kind = "tables"
        elif suffix(name) == "tar":
            kind = "archives"
        elif _PACKED.search(name):
            kind = "compressed archives"
        else:
            continue
        kinds.setdefault(kind, []).append(name)
    return kinds


def _of_split(kinds: dict[str, list[str]], split: str, listing: Listing) -> dict[str, list[str]]:
    kept: dict[str, list[str]] = {}
    prefixes = {shown(name.partition("/")[0]) for name in listing.files if "/" in name}
    for kind, files in kinds.items():
        if kind == "images":
            continue
        parts = {name: re.split(r"[-_.]", Path(name).name, maxsplit=1)[0] for name in files}
        prefixes |= {shown(part) for part in parts.values()}
        starts = re.compile(re.escape(split) + r"[-_.]")
        if chosen := [name for name in files if starts.match(Path(name).name)]:
            kept[kind] = chosen
    if not kept:
        found = ", ".join(sorted(prefixes)[:20]) or "none"
        raise DataError(
            f"{listing.root} has no split {split!r}; found: {found}. Name one of them with --split."
        )
    return kept


def _kind_of_file(path: Path) -> str:
    if not path.is_file():
        raise DataError(f"{path} is a pipe, socket or device. Expected {_EXPECTED}.")
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise DataError(f"cannot open {path}: {reason(error)}. Check its permissions.") from error
    if head.startswith(_TABLE_MAGIC):
        return "tables"
    if head.startswith(_PACKED_MAGIC):
        raise _packed(str(path))
    # Archives older than POSIX have no mark at byte 257.
    if head[257:262] == b"ustar" or (head and suffix(path.name) == "tar"):
        return "archives"
    raise DataError(f"{path} is neither Parquet, Arrow nor tar. Expected {_EXPECTED}.")


def _packed(name: str) -> DataError:
    return DataError(
        f"{name} is compressed; images are read at random, which needs a plain .tar. "
        "Decompress it first, for instance with gzip -d."
    )

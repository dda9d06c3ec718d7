"""What a data source is: entries that are listed cheaply and read one by one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from memaudit.errors import DataError, UnreadableImageError
from memaudit.text import encodable

# What looks like an image: all that Pillow reads but documents, films and arrays of science, and
# what cameras and browsers write. Those that cannot be read are counted, with the reason.
# fmt: off
IMAGE_NAMES = frozenset([
    "jpg", "jpeg", "jpe", "jfif", "jfi", "jif", "png", "apng", "webp", "bmp", "dib", "gif", "tif",
    "tiff", "avif", "avifs", "heic", "heif", "hif", "jxl", "jxr", "jp2", "j2k", "j2c", "jpc",
    "jpf", "jpx", "jpm", "ppm", "pgm", "pbm", "pnm", "pfm", "pam", "psd", "ico", "icns", "cur",
    "tga", "icb", "vda", "vst", "dds", "qoi", "pcx", "dcx", "pcd", "pxr", "sgi", "rgb", "rgba",
    "bw", "xbm", "xpm", "im", "iim", "msp", "ras", "fli", "flc", "blp", "ftc", "ftu", "ftex",
    "fit", "fits", "gbr", "mpo", "wmf", "emf", "svg", "svgz", "eps", "exr", "hdr", "bpg", "dng",
    "cr2", "cr3", "nef", "nrw", "arw", "orf", "raf", "rw2", "pef", "srw", "x3f",
])
UNPACK = "packed, so that nothing of it is read: unpack it, or move it away"
PACKED = frozenset(["gz", "bz2", "xz", "zst"])  # what files are packed in one by one
DOWNLOADS = frozenset([  # extensions of those that are not finished
    "part", "partial", "filepart", "crdownload", "opdownload", "download", "incomplete", "aria2",
    "tmp",
])
# fmt: on
PIECE = re.compile("[0-9]{1,3}")  # of a file that was split; also of a second download
LISTED = 500  # characters
FOLDER = "folder"  # instead of a column of clusters: the folder of each image


@dataclass(frozen=True, slots=True)
class Damage:
    """Stands for the key of something that was found but cannot be read."""

    reason: str


@dataclass(frozen=True, slots=True)
class Row:
    """The key of a row of a Parquet or Arrow file."""

    file: str
    number: int


@dataclass(frozen=True, slots=True)
class Member:
    """The key of a member of a tar archive: `size` bytes from `offset`.

    `sample` is the key that it shares with the other members of its sample.
    """

    file: str
    offset: int
    size: int
    sample: str


@dataclass(frozen=True)
class Columns:
    """The columns that are asked for by name; None stands for the usual ones, or for none.

    `cluster` may be FOLDER, which is no column.
    """

    image: str | None = None
    caption: str | None = None
    cluster: str | None = None

    @property
    def cluster_field(self) -> str | None:
        """The column that names the clusters; None where there is none to read."""
        return None if self.cluster == FOLDER else self.cluster


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a source, nothing decoded.

    `source` is what people are shown: relative to the root, posix, valid UTF-8 ("a/b.png",
    "part-0.parquet#12", "shard-0.tar#0001.jpg"). `key` is what `Source.read` needs, for an image
    file its relative path. `stamp` changes when the file that holds the entry changes. `cluster`
    is what the image belongs to, and "" where no clusters are asked for or none is told. `lost`
    says why a caption that is there cannot be read.
    """

    source: str
    key: str | Row | Member | Damage
    stamp: str
    prompt: str = ""
    cluster: str = ""
    lost: str = ""


class Source(Protocol):
    """A data set. Open one per process: readers keep their place in a file."""

    @property
    def root(self) -> Path:
        """The folder that every `Entry.source` is relative to."""

    def entries(self) -> list[Entry]:
        """List every entry, sorted by source; raise DataError if there is none."""

    def read(self, entry: Entry) -> bytes:
        """Give the encoded image.

        Raises UnreadableImageError, whose message leaves `entry.source` to the caller to add.
        """

    def extract(self, entries: Iterable[Entry], folder: Path) -> str:
        """Write a data set of some readable entries, with all that is told of them, into a folder.

        Rows and samples stay whole, but for images that are not among the entries; image files are
        hard links where the disk allows them. Returns what is to be opened: "" for the folder, or
        the name of a file in it. Raises DataError for what cannot be written so.
        """


def whole_of(entry: Entry) -> str:
    """Name what an entry cannot be parted from: its sample in an archive, else itself."""
    key = entry.key
    return f"{key.file}#{key.sample}" if isinstance(key, Member) else entry.source


def suffix(name: str) -> str:
    """Give what follows the last dot of a file name, in lower case."""
    return name.rpartition("/")[2].rpartition(".")[2].lower()


def is_image(name: str) -> bool:
    """Tell whether a file name ends like an image's."""
    return suffix(name) in IMAGE_NAMES


def unpacked(name: str) -> str:
    """Give what a file holds that is packed, or no whole download (x.png of x.png.gz), else ""."""
    return name.rpartition(".")[0] if why_unread(name) else ""


def why_unread(name: str) -> str:
    """Say why nothing is read of a file by its name; "" of others."""
    kind = suffix(name)
    if kind in PACKED:
        return UNPACK
    if kind in DOWNLOADS:
        return "an unfinished download, of which nothing is read: download it again, or remove it"
    if PIECE.fullmatch(kind):
        return (
            "a piece of a split file, or a second download, of which nothing is read: join, rename "
            "or remove it"
        )
    return ""


def listed(names: Iterable[str]) -> str:
    """Name columns in one line of bounded length, whatever is in their names."""
    text = " ".join(encodable(", ".join(names)).split())
    return text if len(text) <= LISTED else f"{text[:LISTED]} ..."


def folder_of(name: str) -> str:
    """Give the folder of a path inside a data set, up to the last slash; "" at the top."""
    return encodable(name.rpartition("/")[0])


def ordered(entries: Iterable[Entry], root: Path) -> list[Entry]:
    """Sort entries by source; raise DataError if there is none."""
    found = sorted(entries, key=lambda entry: entry.source)
    if not found:
        raise DataError(f"{root} holds no image. Give a data set with at least one.")
    return found


def refusal(entry: Entry) -> UnreadableImageError:
    """Give the error to raise for a key that leads to no image of the source asked."""
    if isinstance(entry.key, Damage):
        return UnreadableImageError(entry.key.reason)
    return UnreadableImageError(f"the entry is of another source (its key is {entry.key!r})")

"""Files on disk: listing a folder, reading a file, noticing a change."""

from __future__ import annotations

import os
import shutil
import stat
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from memaudit.data.source import Damage, Entry, shown
from memaudit.errors import DataError, UnreadableImageError

MAX_BYTES = 1 << 30  # no image within decode.MAX_PIXELS comes near it


@dataclass(frozen=True)
class Listing:
    """The files under a root.

    `files` are posix paths relative to it, with surrogateescape; `unreadable` are entries whose
    read fails: broken links and folders that cannot be listed.
    """

    root: Path
    files: list[str]
    unreadable: list[Entry] = field(default_factory=list)


def stamp(path: Path) -> str:
    """Give size, modification time and permissions; "unreadable" for what cannot be looked at.

    Permissions count, so that a file that is made readable is read by the next scan.
    """
    try:
        found = path.stat()
    except (OSError, ValueError):
        return "unreadable"
    return f"{found.st_size}-{found.st_mtime_ns}-{found.st_mode:o}"


def read_file(path: Path, offset: int = 0, size: int | None = None) -> bytes:
    """Read a file, or `size` bytes of it from `offset`; raises UnreadableImageError."""
    try:
        found = path.stat()
        # Opening a named pipe would wait for a writer for ever.
        if not stat.S_ISREG(found.st_mode):
            raise UnreadableImageError(f"expected a regular file, found {_kind(found.st_mode)}")
        wanted = found.st_size - offset if size is None else size
        if wanted > MAX_BYTES:
            raise UnreadableImageError(f"{wanted} bytes are more than the limit of {MAX_BYTES}")
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(wanted)
    except (OSError, ValueError) as error:
        raise UnreadableImageError(f"cannot be read: {reason(error)}") from error
    if len(data) < wanted:
        raise UnreadableImageError(f"the file ends after {len(data)} of {wanted} bytes")
    return data


def place_file(source: Path, target: Path) -> None:
    """Make a hard link to a file, or a copy where there can be no link: on another disk."""
    target.parent.mkdir(parents=True, exist_ok=True)
    real = os.path.realpath(source)
    try:
        os.link(real, target)
    except OSError:
        shutil.copy2(real, target)


def walk(root: Path) -> Listing:
    """List all files under a folder that are not hidden, following links.

    Each folder is entered once, so that links in a circle end; real folders go before links,
    so that a file is named by its own path where it has one. Raises DataError if the root
    cannot be listed.
    """
    listing = Listing(root, [])
    folders = deque([""])
    entered: set[tuple[int, int]] = set()
    while folders:
        folder = folders.popleft()
        try:
            found = (root / folder).stat()
            if (found.st_dev, found.st_ino) in entered:
                continue
            entered.add((found.st_dev, found.st_ino))
            with os.scandir(root / folder) as items:
                children = sorted(items, key=lambda item: item.name)
        except OSError as error:
            if not folder:
                raise DataError(
                    f"the folder {root} cannot be listed: {reason(error)}. Check its permissions."
                ) from error
            _note(listing, folder, f"the folder cannot be listed: {reason(error)}")
            continue
        for child in children:
            if not child.name.startswith("."):
                _place(child, f"{folder}/{child.name}".lstrip("/"), listing, folders)
    return listing


def reason(error: Exception) -> str:
    """Say what went wrong in one line, without the path that OSError adds."""
    text = (isinstance(error, OSError) and error.strerror) or str(error)
    return " ".join(text.split()) or type(error).__name__


def _place(child: os.DirEntry[str], name: str, listing: Listing, folders: deque[str]) -> None:
    try:
        if child.is_symlink():
            child.stat()  # raises for a link that leads nowhere
        is_folder = child.is_dir()
    except OSError as error:
        _note(listing, name, f"a broken link: {reason(error)}")
        return
    if not is_folder:
        listing.files.append(name)
    elif child.is_symlink():
        folders.append(name)
    else:
        folders.appendleft(name)


def _note(listing: Listing, name: str, why: str) -> None:
    listing.unreadable.append(Entry(shown(name), Damage(why), "unreadable"))


def _kind(mode: int) -> str:
    return "a folder" if stat.S_ISDIR(mode) else "a pipe, socket or device"

"""Files on disk: listing a folder, reading a file, noticing a change."""

from __future__ import annotations

import os
import posixpath
import shutil
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from memaudit import foreign
from memaudit.data.source import Damage, Entry
from memaudit.errors import DataError, ForeignFileError, UnreadableImageError
from memaudit.foreign import reason
from memaudit.text import encodable

IMAGE_BYTES = 512 << 20  # no image within decode.MAX_PIXELS comes near it


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


def read_file(
    path: Path, offset: int = 0, size: int | None = None, limit: int = IMAGE_BYTES
) -> bytes:
    """Read a regular file, or `size` bytes of it from `offset`; raises UnreadableImageError."""
    try:
        return foreign.read_file(path, limit, offset=offset, size=size)
    except ForeignFileError as error:
        raise UnreadableImageError(str(error)) from error


def named_in(root: Path, folder: str, name: str) -> str:
    """Find what a table or metadata in `folder` names: a path from the root, normalized.

    Where no file has the name, the back slashes of Windows part folders. A whole path becomes one
    from the root where it leads inside.
    """
    path = posixpath.normpath(posixpath.join(folder, name))
    if "\\" in name and (is_outside(path) or not (root / path).is_file()):
        path = posixpath.normpath(posixpath.join(folder, name.replace("\\", "/")))
    return _from_root(path, root) if path.startswith("/") else path


def _from_root(path: str, root: Path) -> str:
    for start in (root.absolute().as_posix(), root.resolve().as_posix()):
        if path.startswith(f"{start}/"):
            return path[len(start) + 1 :]
    return path


def is_outside(path: str) -> bool:
    """Tell whether a normalized path leads out of the root that it starts from."""
    return path == ".." or path.startswith(("/", "../")) or bool(os.path.splitdrive(path)[0])


def read_named(root: Path, path: str) -> bytes:
    """Read a file that a table or metadata name, inside the root; raises UnreadableImageError."""
    if is_outside(path):
        raise UnreadableImageError(
            "metadata or a table name a file outside the data set: move it into the folder, or "
            "put the images themselves into the table"
        )
    return read_file(root / path)


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
    listing.unreadable.append(Entry(encodable(name), Damage(why), "unreadable"))

"""An index on disk: `index.faiss`, and `index.json`, which says what it is and seals it."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import faiss
from pydantic import TypeAdapter, ValidationError

from memaudit.errors import (
    ConfigError,
    DamagedIndexError,
    DependencyError,
    ForeignFileError,
    IndexMismatchError,
)
from memaudit.files import in_place, write_whole
from memaudit.foreign import read_file
from memaudit.records import Vectors
from memaudit.similarity.search.backend import view_vectors
from memaudit.similarity.search.index import Index, IndexMeta, check_vectors

VECTORS = "index.faiss"
SIDECAR = "index.json"


@dataclass(frozen=True)
class Sidecar:
    """What `index.json` holds: what the vectors are of, and the sha256 of their file."""

    meta: IndexMeta
    sha256: str
    ids: tuple[str, ...]


def build_index(
    directory: Path,
    ids: list[str],
    chunks: Iterable[Vectors],
    meta: IndexMeta,
    device: str = "cpu",
) -> Index:
    """Write an exact index of unit vectors and return it; memory holds the vectors once.

    `chunks` are [n, D], in the order of `ids`, which are unique. The sidecar is written last: a
    directory that has one is complete.
    """
    if len(set(ids)) != len(ids):
        raise ConfigError(
            f"{len(ids)} ids for the index, {len(set(ids))} of them different, expected unique "
            "ids: drop exact copies first."
        )
    flat = _fill(len(ids), chunks)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / SIDECAR).unlink(missing_ok=True)
    with in_place(directory / VECTORS) as temporary:
        faiss.write_index(flat, str(temporary))
        if temporary.stat().st_size < len(ids) * flat.code_size:  # its last write is not checked
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(temporary))
        sidecar = Sidecar(meta, _sha256(temporary), tuple(ids))
    write_whole(directory / SIDECAR, _adapter().dump_json(sidecar))
    return Index.create(ids, flat, meta, device)


def load_index(directory: Path, expected: IndexMeta | None = None, device: str = "cpu") -> Index:
    """Load an index whose sidecar matches its vectors and, where given, `expected`.

    Raises IndexMismatchError that names every difference, and DamagedIndexError where the files
    are not what was written.
    """
    sidecar = _read_sidecar(directory)
    meta, ids = sidecar.meta, list(sidecar.ids)
    if expected is not None:
        _compare(directory, meta, expected)
    file = directory / VECTORS
    if not file.is_file() or _sha256(file) != sidecar.sha256:
        raise _refuse(directory, f"{VECTORS} is missing or is not the file {SIDECAR} belongs to")
    flat = faiss.read_index(str(file))
    if not isinstance(flat, faiss.IndexFlatIP) or flat.ntotal != len(ids):
        raise _refuse(directory, f"{VECTORS} is not an exact index of the {len(ids)} ids listed")
    if len(set(ids)) != len(ids):
        raise _refuse(directory, f"{SIDECAR} lists an id twice")
    try:
        check_vectors(view_vectors(flat), flat.d, "vectors")
    except DependencyError as error:
        raise _refuse(directory, str(error)) from error
    return Index.create(ids, flat, meta, device)


def _fill(total: int, chunks: Iterable[Vectors]) -> faiss.IndexFlatIP:
    """Fill a FAISS index in place; its `add` would hold up to three copies while it grows."""
    flat, filled = None, 0
    for chunk in chunks:
        if flat is None:
            flat = faiss.IndexFlatIP(chunk.shape[1])
            flat.codes.resize(total * flat.code_size)
            flat.ntotal = total
        check_vectors(chunk, flat.d, "vectors")
        if filled + len(chunk) <= total:
            view_vectors(flat)[filled : filled + len(chunk)] = chunk
        filled += len(chunk)
    if flat is None or filled != total:
        raise ConfigError(
            f"{filled} vectors for {total} ids, expected one vector for each and at least one: "
            "an index needs every example embedded once."
        )
    return flat


def _read_sidecar(directory: Path) -> Sidecar:
    if not (directory / SIDECAR).exists():
        raise _refuse(directory, f"it holds no {SIDECAR}, so it was never finished")
    try:
        sidecar: Sidecar = _adapter().validate_json(read_file(directory / SIDECAR))
    except ForeignFileError as error:
        raise _refuse(directory, f"{SIDECAR} cannot be read ({error})") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise _refuse(directory, f"{SIDECAR} cannot be read ({where}: {first['msg']})") from error
    return sidecar


def _compare(directory: Path, found: IndexMeta, expected: IndexMeta) -> None:
    """Compare all fields but the embedder's name: equal digests mean equal vectors."""
    wanted = asdict(expected)
    differences = [
        f"{key} is {value!r}, expected {wanted[key]!r}"
        for key, value in asdict(found).items()
        if value != wanted[key] and key != "embedder"
    ]
    if differences:
        embedders = f"made by {found.embedder}, wanted for {expected.embedder}"
        other = (
            "it is of other images, or of another size or embedder; name another folder to keep it"
        )
        reason = f"{'; '.join(differences)} ({embedders}): {other}"
        raise IndexMismatchError(_refusal(directory, reason))


def _refuse(directory: Path, reason: str) -> DamagedIndexError:
    return DamagedIndexError(_refusal(directory, reason))


def _refusal(directory: Path, reason: str) -> str:
    return f"The index in {directory} cannot be used: {reason}. Build it again."


@cache
def _adapter() -> TypeAdapter[Any]:
    return TypeAdapter(Sidecar)


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

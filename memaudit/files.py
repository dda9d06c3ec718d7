"""Files that are whole or absent, and content that is fit for them.

What is written goes to a temporary name first and is then renamed.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Hashable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from memaudit.text import cell, encodable


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that nobody ever sees half of."""
    with in_place(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def in_place(path: Path) -> Iterator[Path]:
    """Give a temporary name to write a file under, which takes its place once it is whole.

    What fails or is interrupted leaves nothing behind: on a full disk it would stand in the way. A
    link that has the temporary name, as in a folder of another's making, is not written through.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    with suppress(OSError):
        temporary.unlink()
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def write_json(path: Path, content: Any) -> None:
    """Write JSON; NaN and infinity become null."""
    write_whole(path, to_json(content))


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text."""
    write_whole(path, encodable(text).encode())


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table for people, as `to_csv` makes it."""
    write_whole(path, to_csv(table))


def to_json(content: Any) -> bytes:
    """Make JSON; NaN and infinity become null."""
    text = json.dumps(finite(content), indent=2, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def to_parquet(table: pd.DataFrame, metadata: dict[str, str] | None = None) -> bytes:
    """Make a Parquet file of a table, with `metadata` in the schema."""
    metadata = {key: encodable(text) for key, text in (metadata or {}).items()}
    arrow = pa.Table.from_pandas(_encodable(table), preserve_index=False)
    arrow = arrow.replace_schema_metadata({**(arrow.schema.metadata or {}), **metadata})
    buffer = io.BytesIO()
    pq.write_table(arrow, buffer)
    return buffer.getvalue()


def to_csv(table: pd.DataFrame) -> bytes:
    """Make a table for people: text is made fit for a cell (`memaudit.text.cell`).

    Numbers are never touched; the raw text stays in Parquet.
    """
    safe = table.rename(columns=lambda name: cell(str(name)))
    for name in _texts(safe):
        safe[name] = safe[name].map(lambda one: cell(one) if isinstance(one, str) else one)
    return safe.to_csv(index=False, float_format="%.6g", lineterminator="\n").encode()


def _encodable(table: pd.DataFrame) -> pd.DataFrame:
    """A table that Arrow can write: bytes of a name that are no text are escaped."""
    fit = table.copy(deep=False)
    for name in _texts(fit):
        fit[name] = fit[name].map(lambda one: encodable(one) if isinstance(one, str) else one)
    return fit


def _texts(table: pd.DataFrame) -> list[Hashable]:
    return [name for name in table if not pd.api.types.is_numeric_dtype(table[name])]


def finite(content: Any) -> Any:
    """Make content fit for JSON: NaN and infinity become None, and all text can be encoded."""
    if isinstance(content, str):
        return encodable(content)
    if isinstance(content, dict):
        return {encodable(str(key)): finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content

"""Files that are whole or absent, and content that is fit for them.

What is written goes to a temporary name first and is then renamed.
"""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

RISKY = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would run such a cell as a formula


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that nobody ever sees half of."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(content)
    temporary.replace(path)


def write_json(path: Path, content: Any) -> None:
    """Write JSON; NaN and infinity become null."""
    write_whole(path, to_json(content))


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text."""
    write_whole(path, text.encode())


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table for people, as `to_csv` makes it."""
    write_whole(path, to_csv(table))


def to_json(content: Any) -> bytes:
    """Make JSON; NaN and infinity become null."""
    text = json.dumps(finite(content), indent=2, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def to_parquet(table: pd.DataFrame, metadata: dict[str, str] | None = None) -> bytes:
    """Make a Parquet file of a table, with `metadata` in the schema."""
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    arrow = arrow.replace_schema_metadata({**(arrow.schema.metadata or {}), **(metadata or {})})
    buffer = io.BytesIO()
    pq.write_table(arrow, buffer)
    return buffer.getvalue()


def to_csv(table: pd.DataFrame) -> bytes:
    """Make a table for people: text cells that a spreadsheet would run are quoted with '.

    Carriage returns become spaces. Numbers are never touched; the raw text stays in Parquet.
    """
    safe = table.copy()
    for name in safe.columns:
        if not pd.api.types.is_numeric_dtype(safe[name]):
            safe[name] = safe[name].map(_escape)
    return safe.to_csv(index=False, float_format="%.6g", lineterminator="\n").encode()


def _escape(cell: object) -> object:
    if not isinstance(cell, str):
        return cell
    text = cell.replace("\r", " ")  # a bare one is not quoted, and would start a row
    return f"'{text}" if cell.startswith(RISKY) else text


def finite(content: Any) -> Any:
    """Make content fit for JSON: NaN and infinity become None."""
    if isinstance(content, dict):
        return {str(key): finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content

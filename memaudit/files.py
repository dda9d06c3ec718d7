"""Files that are whole or absent: written under a temporary name, then renamed."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

RISKY = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would run such a cell as a formula


def write_json(path: Path, content: Any) -> None:
    """Write JSON; NaN and infinity become null."""
    text = json.dumps(finite(content), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def write_parquet(path: Path, table: pd.DataFrame, metadata: dict[str, str] | None = None) -> None:
    """Write a table, with `metadata` in the schema."""
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    arrow = arrow.replace_schema_metadata({**(arrow.schema.metadata or {}), **(metadata or {})})
    temporary = path.with_name(path.name + ".tmp")
    pq.write_table(arrow, temporary)
    temporary.replace(path)


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table for people: text cells that a spreadsheet would run are quoted with '.

    Carriage returns become spaces. Numbers are never touched; the raw text stays in Parquet.
    """
    safe = table.copy()
    for name in safe.columns:
        if not pd.api.types.is_numeric_dtype(safe[name]):
            safe[name] = safe[name].map(_escape)
    temporary = path.with_name(path.name + ".tmp")
    safe.to_csv(temporary, index=False, float_format="%.6g", lineterminator="\n")
    temporary.replace(path)


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

"""What metadata.csv, metadata.jsonl or metadata.parquet tell of the images of a folder."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from memaudit.data.files import reason
from memaudit.data.source import Columns, caption_name, cluster_name, cluster_of, prompt_of
from memaudit.errors import DataError

Row = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Told:
    """What one row tells of an image; `file_name` is relative to the folder of the metadata."""

    file_name: str
    prompt: str
    cluster: str


def read_metadata(path: Path, columns: Columns) -> Iterator[Told]:
    """Give what each row tells of its image.

    Without a caption column all prompts are empty, and clusters likewise. Raises DataError for a
    file that cannot be parsed, or one without `file_name` or a column that is asked for.
    """
    try:
        caption = cluster = None
        for number, row in enumerate(_READERS[path.name](path), start=1):
            if number == 1:
                caption = caption_name(row, columns.caption, path.name)
                cluster = cluster_name(row, columns.cluster_field, path.name)
            name = row.get("file_name")
            if not isinstance(name, str):
                raise DataError(
                    f"row {number} of {path} has no text in `file_name`; it has the columns "
                    f"{', '.join(row)}. Each row must name its image there."
                )
            yield Told(
                name,
                prompt_of(row.get(caption)) if caption else "",
                cluster_of(row.get(cluster)) if cluster else "",
            )
    except (OSError, ValueError, csv.Error, pa.ArrowException) as error:
        raise DataError(
            f"{path} cannot be read as {path.suffix[1:]}: {reason(error)}. Correct or remove it."
        ) from error


def write_metadata(path: Path, target: Path, keep: Callable[[str], bool]) -> None:
    """Write a metadata file with the rows of some images, whole, chosen by their file name."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _WRITERS[path.name](path, target, keep)


def _write_csv(path: Path, target: Path, keep: Callable[[str], bool]) -> None:
    with (
        path.open(encoding="utf-8-sig", newline="") as file,
        target.open("w", encoding="utf-8", newline="") as out,
    ):
        rows, writer = csv.reader(file), csv.writer(out, lineterminator="\n")
        header = next(rows)
        writer.writerow(header)
        column = len(header) - 1 - header[::-1].index("file_name")  # of equal names the last counts
        writer.writerows(row for row in rows if row and keep(row[column]))


def _write_jsonl(path: Path, target: Path, keep: Callable[[str], bool]) -> None:
    with path.open(encoding="utf-8") as file, target.open("w", encoding="utf-8") as out:
        for line in filter(str.strip, file):
            if keep(json.loads(line)["file_name"]):
                out.write(line if line.endswith("\n") else f"{line}\n")


def _write_parquet(path: Path, target: Path, keep: Callable[[str], bool]) -> None:
    with pq.ParquetFile(path) as file, pq.ParquetWriter(target, file.schema_arrow) as writer:
        for batch in file.iter_batches(batch_size=4096, use_threads=False):
            kept = [keep(name) for name in batch.column("file_name").to_pylist()]
            writer.write_batch(batch.filter(pa.array(kept, pa.bool_())))


def _csv_rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            # Cells beyond the header come under the key None.
            yield {key: value for key, value in row.items() if isinstance(key, str)}


def _jsonl_rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8") as file:
        for line in filter(str.strip, file):
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError(f"expected an object a line, found {line.strip()[:40]!r}")
            yield row


def _parquet_rows(path: Path) -> Iterator[Row]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=4096, use_threads=False):
            yield from batch.to_pylist()


_READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    "metadata.csv": _csv_rows,
    "metadata.jsonl": _jsonl_rows,
    "metadata.parquet": _parquet_rows,
}
_WRITERS: dict[str, Callable[[Path, Path, Callable[[str], bool]], None]] = {
    "metadata.csv": _write_csv,
    "metadata.jsonl": _write_jsonl,
    "metadata.parquet": _write_parquet,
}
METADATA_NAMES = frozenset(_READERS)

"""Boxes around objects, as a detector or people gave them: a file of COCO, or a table."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from memaudit.data.metadata import FILE_NAME, columns_of
from memaudit.errors import DataError
from memaudit.foreign import read_json, refusing

COLUMNS = ("bbox", "boxes", "objects")  # of a table, in this order; objects holds a field bbox
COCO_BYTES = 1 << 30  # of a file of COCO
TABLES = (".csv", ".jsonl", ".parquet")
EXPECTED = "expected x, y, width and height in pixels, as in COCO"


@dataclass(frozen=True, slots=True)
class Box:
    """A box in pixels of its image: the corner at the upper left, and the sides, above 0."""

    x: float
    y: float
    width: float
    height: float


@dataclass(slots=True)
class Boxed:
    """The boxes of an image, and its width and height where the file says them."""

    boxes: list[Box] = field(default_factory=list)
    size: tuple[float, float] | None = None


def read_boxes(path: Path) -> dict[str, Boxed]:
    """The boxes in a file, by the name that it gives each image.

    A file of COCO (JSON with images and annotations), or a table (.csv, .jsonl or .parquet) whose
    rows have `file_name` and a column `bbox`: a box, or a list of them. An image without any is
    there, too. Raises DataError for any other file, and for a box that is none.
    """
    advice = f"{path} cannot be read as boxes; correct it, or leave out --boxes"
    with refusing(DataError, advice):
        if path.suffix.lower() in TABLES:
            return _of_table(path)
        if path.suffix.lower() == ".json":
            return _of_coco(path, read_json(path, COCO_BYTES, lenient=True))
    raise DataError(
        f"{path} is no file of boxes: expected COCO as .json, or a table as {', '.join(TABLES)}"
    )


def _of_coco(path: Path, content: Any) -> dict[str, Boxed]:
    images, annotations = (
        content.get(name) if isinstance(content, dict) else None
        for name in ("images", "annotations")
    )
    if not isinstance(images, list) or not isinstance(annotations, list):
        raise DataError(f"{path} is no COCO: expected lists `images` and `annotations`")
    names: dict[Any, str] = {}
    found: dict[str, Boxed] = defaultdict(Boxed)
    for number, image in enumerate(images, start=1):
        name = image.get(FILE_NAME) if isinstance(image, dict) else None
        if not isinstance(name, str) or not isinstance(image.get("id"), int | str):
            raise DataError(f"image {number} of {path} has no `id` or no text in `{FILE_NAME}`")
        if names.setdefault(image["id"], name) != name:
            raise DataError(f"image {number} of {path} has the `id` of another, {image['id']!r}")
        found[name].size = _size(image)
    for number, annotation in enumerate(annotations, start=1):
        owner = annotation.get("image_id") if isinstance(annotation, dict) else None
        if not isinstance(owner, int | str) or owner not in names:
            raise DataError(f"annotation {number} of {path} is of image {owner!r}, which it lacks")
        found[names[owner]].boxes.append(
            _box(annotation.get("bbox"), f"annotation {number} of {path}")
        )
    return dict(found)


def _size(image: Mapping[str, Any]) -> tuple[float, float] | None:
    width, height = image.get("width"), image.get("height")
    known = all(isinstance(one, int | float) and one > 0 for one in (width, height))
    return (float(width), float(height)) if known else None  # type: ignore[arg-type]


def _of_table(path: Path) -> dict[str, Boxed]:
    found: dict[str, Boxed] = defaultdict(Boxed)
    for number, (name, cell) in enumerate(columns_of(path, COLUMNS), start=1):
        if not isinstance(name, str):
            raise DataError(f"row {number} of {path} has no text in `{FILE_NAME}`")
        where = f"row {number} of {path}"
        found[name].boxes += [_box(one, where) for one in _boxes_in(cell, where)]
    return dict(found)


def _boxes_in(cell: object, where: str) -> Iterator[object]:
    """The boxes of a cell: none, one, or a list of them, as lists or in JSON."""
    if isinstance(cell, str):
        try:
            cell = json.loads(cell) if cell.strip() else None
        except (ValueError, RecursionError):
            raise DataError(f"{where} has no box but {str(cell)[:40]!r}; {EXPECTED}") from None
    if isinstance(cell, Mapping):
        cell = cell.get("bbox")
    if cell is None:
        return
    if isinstance(cell, Sequence) and all(isinstance(one, int | float) for one in cell):
        yield from [cell] if len(cell) else []
    elif isinstance(cell, Sequence):
        yield from cell
    else:
        raise DataError(f"{where} has no box but {str(cell)[:40]!r}; {EXPECTED}")


def _box(value: object, where: str) -> Box:
    numbers: Sequence[Any] = () if not isinstance(value, list | tuple) else value
    usable = all(isinstance(one, int | float) and isfinite(one) for one in numbers)
    if len(numbers) != 4 or not usable or min(numbers[2:]) <= 0:
        raise DataError(f"{where} has no box but {str(value)[:40]!r}; {EXPECTED}, sides above 0")
    return Box(*map(float, numbers))

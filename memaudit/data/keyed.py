"""The metadata that kohya's scripts write: one JSON object, with the fields of each image in it.

An image is named by its path, or by its file name without folder and extension.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from memaudit.data.files import named_in
from memaudit.foreign import read_json

NAMES = re.compile(r"meta_(cap|tag|clean|lat)\w*\.json", re.IGNORECASE)
CAPTION, TAGS = "caption", "tags"


def is_keyed(name: str) -> bool:
    """Tell whether a file is called as those that kohya's scripts write, such as meta_cap.json."""
    return NAMES.fullmatch(name.rpartition("/")[2]) is not None


def read_keyed(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give the key of each image and its fields, tags joined to the caption as for a training.

    Raises ValueError for JSON of another layout.
    """
    for key, fields in _content(path).items():
        said = [fields[name] for name in (CAPTION, TAGS) if fields.get(name)]
        yield key, {**fields, CAPTION: ", ".join(map(str, said))} if said else fields


def write_keyed(path: Path, target: Path, rename: Callable[[str], str | None]) -> None:
    """Write the fields of some images, under the keys that `rename` gives, None for none."""
    named = ((rename(key), fields) for key, fields in _content(path).items())
    kept = {key: fields for key, fields in named if key is not None}
    target.write_text(json.dumps(kept, ensure_ascii=False), encoding="utf-8")


class Keys:
    """Finds the images of a folder, given by their paths in it, by the keys of such files."""

    def __init__(self, root: Path, images: Iterable[str]) -> None:
        self._root = root
        self._images = set(images)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for image in self._images:
            self._by_stem[_stem(image).rpartition("/")[2]].append(image)

    def image_of(self, folder: str, key: str) -> str:
        """The path of the image that a file in `folder` means; "" for none, or for several."""
        path = named_in(self._root, folder, key)
        if path in self._images:
            return path
        below = f"{folder}/" if folder else ""
        named = [one for one in self._by_stem.get(key, ()) if one.startswith(below)]
        here = [one for one in named if _stem(one) == path]
        found = here or named
        return found[0] if len(found) == 1 else ""


def _content(path: Path) -> dict[str, dict[str, Any]]:
    content = read_json(path, lenient=True)
    if not isinstance(content, dict) or not all(isinstance(one, dict) for one in content.values()):
        raise ValueError("expected an object of fields for each image, in one object")
    return content


def _stem(path: str) -> str:
    return path.rpartition(".")[0]

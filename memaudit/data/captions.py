"""Captions and clusters: from cells, and from the files that share the name of an image."""

from __future__ import annotations

import codecs
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

from memaudit.data.source import Columns, listed, unpacked, why_unread
from memaudit.errors import DataError
from memaudit.foreign import parse_json, refusing
from memaudit.text import encodable

CAPTION_NAMES = ("text", "caption", "prompt", "txt")  # in this order, where no column is named
CAPTION_BYTES = 1 << 16  # of one caption, in UTF-8
ALL_BYTES = 1 << 29  # of all captions of a file
FIELDS_BYTES = 16 << 20  # of a .json file beside an image
TEXTS = ("txt", "text", "caption")  # extensions of files with a caption, in this order
FIELDS = "json"
MARKS = {  # at the start of a text that says how it is encoded
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


@dataclass(frozen=True, slots=True)
class Told:
    """What is told of one image; `lost` says why a caption that is there cannot be read."""

    prompt: str = ""
    cluster: str = ""
    lost: str = ""


@dataclass
class Kept:
    """Keeps what is told of many images in bounded memory: each text once."""

    texts: dict[str, str] = field(default_factory=dict)
    size: int = 0

    def __call__(self, told: Told) -> Told:
        """Keep a caption and a cluster; raises DataError where all take more than ALL_BYTES."""
        prompt, group = (self._once(text) for text in (told.prompt, told.cluster))
        return Told(prompt, group, told.lost)

    def _once(self, text: str) -> str:
        kept = self.texts.setdefault(text, text)
        self.size += len(text) * (kept is text)
        if self.size > ALL_BYTES:
            raise DataError(
                f"the captions of one file take more than {ALL_BYTES} bytes; expected captions of "
                "images. Name their column with --caption-column"
            )
        return kept


def caption(read: Callable[[], object]) -> Told:
    """Read a caption; whatever it raises is said, and no caption told."""
    try:
        with refusing(DataError, "the caption cannot be read"):
            return Told(prompt_of(read()))
    except DataError as error:
        return Told(lost=str(error))


def prompt_of(value: object) -> str:
    """Turn a cell into a prompt: null and NaN are empty, bytes are text; of a list the first.

    Of a structure its field of a usual name is taken. Raises ValueError for a cell that is no text,
    number or date, or too long.
    """
    while isinstance(value, list | Mapping):
        value = _in_fields(value) if isinstance(value, Mapping) else value[0] if value else None
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bytes):
        value = text_of(value)
    text = encodable(str(value).removeprefix("\ufeff").strip())
    if len(text.encode()) > CAPTION_BYTES:
        raise ValueError(f"{len(text)} characters: expected at most {CAPTION_BYTES} bytes")
    return text


def _in_fields(fields: Mapping[str, object]) -> object:
    found = [fields[name] for name in CAPTION_NAMES if name in fields]
    if not found:
        raise ValueError(
            "expected text, found a structure without a field " + ", ".join(CAPTION_NAMES)
        )
    return next((value for value in found if value is not None), None)


def text_of(data: bytes) -> str:
    """Decode text: UTF-8 with or without a mark, or UTF-16 with one; raises ValueError."""
    encoding = next((MARKS[mark] for mark in MARKS if data.startswith(mark)), "utf-8")
    return data.decode(encoding)


def cluster(read: Callable[[], object]) -> str:
    """Read the name of a cluster; raises DataError for a cell that names none, or is damaged."""
    with refusing(DataError, "a cell of the column of --cluster-column cannot be read"):
        return cluster_of(read())


def cluster_of(value: object) -> str:
    """Turn a cell into the name of a cluster: stripped text, a null empty, 7.0 the same as 7.

    Raises DataError for what is neither text, number nor date.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bytes | list | dict):
        raise DataError(
            f"a cell of the column of --cluster-column is {type(value).__name__}, expected text "
            "or a number that names the cluster of the image. Name another column."
        )
    whole = isinstance(value, float) and value.is_integer()
    return encodable(str(int(value) if whole else value).strip())  # type: ignore[call-overload]


def caption_name(columns: Iterable[str], wanted: str | None, where: str) -> str | None:
    """Pick the caption column: the wanted one, else a usual name in any case, else none."""
    columns = list(columns)
    if wanted is None:
        usual = {name.lower(): name for name in reversed(columns)}
        wanted = next((usual[name] for name in CAPTION_NAMES if name in usual), None)
    return None if wanted is None else _named(columns, wanted, where, "caption")


def cluster_name(columns: Iterable[str], wanted: str | None, where: str) -> str | None:
    """Give the wanted cluster column, if one is wanted; raises DataError if it is not there."""
    return None if wanted is None else _named(list(columns), wanted, where, "cluster")


def _named(columns: list[str], wanted: str, where: str, kind: str) -> str:
    if columns.count(wanted) > 1:
        raise DataError(
            f"{where} has {columns.count(wanted)} columns of the name {wanted!r}, and none can be "
            f"told from the others. Rename them, or name another with --{kind}-column."
        )
    if wanted not in columns:
        raise DataError(
            f"{where} has no {kind} column {wanted!r}; its columns are {listed(columns)}. "
            f"Name one of them with --{kind}-column."
        )
    return wanted


def is_text(column: str) -> bool:
    """Tell whether --caption-column names files such as alt.txt in place of a column."""
    return "." in column and column.rpartition(".")[2].lower() in TEXTS


def names_beside(image: str, kinds: Iterable[str]) -> Iterator[str]:
    """What the files that tell of an image are called, all by their extensions, the first first."""
    for start in _starts(image):
        for name in ("", *(f"{name}." for name in CAPTION_NAMES)):
            yield from (f"{start}{name}{kind}" for kind in kinds)


def _starts(image: str) -> tuple[str, ...]:
    inner = image.rpartition(".")[0]
    return (f"{inner}.", "") if inner else ("",)


@dataclass(frozen=True)
class Beside:
    """The files that share the name of an image, by their extensions in lower case.

    `read` gives what is in one of them. Of an image of the extension v2.png, v2.txt goes before
    txt, as it does in archives, whose names are cut at their first dot; caption.txt comes after it.
    """

    names: Collection[str]
    read: Callable[[str, int], bytes]  # of an extension, at most so many bytes
    columns: Columns

    def told(self, image: str) -> Told:
        """What they tell of an image of this extension: text before fields of JSON."""
        texts = [caption(self._text(name)) for name in self._texts(image)]
        told = next((one for one in texts if one.prompt or one.lost), Told())
        needed = self.columns.cluster_field is not None or not (told.prompt or told.lost)
        fields = next(self._there(names_beside(image, (FIELDS,))), None) if needed else None
        told = told if fields is None else self._with_fields(fields, told)
        return told if told.prompt or told.lost else replace(told, lost=self._packed(image))

    def _texts(self, image: str) -> Iterator[str]:
        return self._there(self._names(image))

    def _names(self, image: str) -> Iterator[str]:
        """What the texts of an image are called."""
        asked = self.columns.caption
        if asked is None:
            return names_beside(image, TEXTS)
        return (start + asked for start in _starts(image) if is_text(asked))

    def _packed(self, image: str) -> str:
        """Say that what may hold the caption is packed or no whole file; "" where nothing is."""
        wanted = (*self._names(image), *names_beside(image, (FIELDS,)))
        found = [self._by_content[name] for name in wanted if name in self._by_content]
        if not found:
            return ""
        _, first = min(found)
        return f"the caption cannot be read: .{first} is {why_unread(first)}"

    @cached_property
    def _by_content(self) -> dict[str, tuple[int, str]]:
        """Place and name of the first packed file of each name that it would have unpacked."""
        places: dict[str, tuple[int, str]] = {}
        for place, name in enumerate(self.names):
            if inner := unpacked(name):
                places.setdefault(inner, (place, name))
        return places

    def _there(self, names: Iterable[str]) -> Iterator[str]:
        return (name for name in names if name in self.names)

    def _text(self, name: str) -> Callable[[], str]:
        return lambda: text_of(self.read(name, CAPTION_BYTES))

    def _with_fields(self, name: str, told: Told) -> Told:
        """Add what the fields of a .json file tell: the cluster, and the caption where none is."""
        try:
            with refusing(DataError, f"the caption in .{name} cannot be read"):
                fields = parse_json(self.read(name, FIELDS_BYTES), FIELDS_BYTES, lenient=True)
        except DataError as error:
            return told if told.prompt or told.lost else Told(lost=str(error))
        if not isinstance(fields, dict):
            return told
        field = self.columns.cluster_field
        group = "" if field is None else cluster_of(fields.get(field))
        if not (told.prompt or told.lost):
            asked = self.columns.caption
            names = CAPTION_NAMES if asked is None else (asked,)
            cells = [caption(partial(fields.get, name)) for name in names]
            told = next((one for one in cells if one.prompt or one.lost), told)
        return Told(told.prompt, group, told.lost)

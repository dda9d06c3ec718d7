"""An index by itself: build one of some images, look an image up in one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from memaudit.audit.embedded import open_index, readable_rows
from memaudit.audit.embedding import Embedded, View, embed_listing
from memaudit.audit.listing import list_data
from memaudit.config import DataConfig
from memaudit.data import read_file
from memaudit.errors import DataError, IndexMismatchError, UnreadableImageError
from memaudit.progress import Progress
from memaudit.similarity.embed import load_embedder


@dataclass(frozen=True)
class Hit:
    """One image of an index and its cosine similarity to the image looked up."""

    example_id: str
    split: str
    source: str
    similarity: float


@dataclass(frozen=True)
class Wanted:
    """An index to be built at `out`; `seed` draws the sample, `resolution` None keeps sizes."""

    out: str
    embedder: str
    resolution: int | None = None
    seed: int = 0


def build_index(data: DataConfig, wanted: Wanted, progress: Progress) -> Embedded:
    """Embed a data set and its controls."""
    listing = list_data(data, wanted.seed)
    view = View.square(wanted.resolution, data)
    embedder = load_embedder(wanted.embedder)
    return embed_listing(listing, embedder, view, Path(wanted.out), progress)


def search_index(directory: str, image: str, count: int) -> list[Hit]:
    """Find the `count` images nearest to the file `image`, most similar first.

    The image is brought to the size of the index and embedded as the index was. Raises DataError
    for a file that is no image and IndexMismatchError if the embedder changed since.
    """
    index = open_index(Path(directory))
    table, view = readable_rows(Path(directory), index), View.of(index.meta)
    embedder = load_embedder(index.meta.embedder)
    if embedder.digest != index.meta.digest:
        raise IndexMismatchError(
            f"the index in {directory} was made by another version of {index.meta.embedder} than "
            "the one installed; build it again"
        )
    try:
        pixels = view.apply(view.decode(read_file(Path(image))).image)
    except UnreadableImageError as error:
        raise DataError(
            f"{image} cannot be read as an image: {error}. Give the path of an image file."
        ) from error
    positions, similarities = index.search(embedder.embed([pixels]), count)
    first = table.drop_duplicates("example_id").set_index("example_id")[["split", "source"]]
    names = [index.ids[position] for position in positions[0]]
    return [
        Hit(name, first.loc[name, "split"], first.loc[name, "source"], float(similarity))
        for name, similarity in zip(names, similarities[0], strict=True)
    ]

"""Three kinds of real images at 32 px, each without near duplicates, in a fixed random order.

Photographs: tiles of the pictures that ship inside scikit-image. Icons: Fluent emoji (MIT).
Clothes: Fashion-MNIST (MIT), grey in three channels. `make benchmark-data` fetches the last two.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage
from scipy.sparse.csgraph import connected_components
from skimage import data as photographs

from memaudit.data import decode, image_id, resize
from memaudit.demo.tiles import TILE, photographs_by_name
from memaudit.records import Image
from memaudit.similarity.embed import load_embedder

DATA = Path(__file__).parent / "data"
ICONS = DATA / "icons/package/assets"
CLOTHES_FILE = DATA / "usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz"
SIZE = (32, 32)
SEVERAL = 4000  # of the 60,000 clothes; enough for three controls at .1 % false positives
CONTRAST = 12.0  # least standard deviation of a tile's grey levels: sky and black space stay out
NEAR = 0.85  # SSCD similarity from which two images count as near duplicates
LARGEST = 4  # a larger group is one texture or one face in many poses; it stays out


@cache
def images(kind: str) -> tuple[Image, ...]:
    """All images of a kind, [32, 32, 3], one of each group of near duplicates, ordered by hash."""
    made = {"photos": photos, "icons": icons, "clothes": resized_clothes}[kind]()
    found = {image_id(image): image for image in made}
    return tuple(found[name] for name in _representatives(found))


def photos() -> Iterator[Image]:
    for photograph in (*photographs_by_name().values(), photographs.retina()):
        height, width = photograph.shape[:2]
        for y in range(0, height - TILE + 1, TILE):
            for x in range(0, width - TILE + 1, TILE):
                tile = resize(photograph[y : y + TILE, x : x + TILE], SIZE, "stretch")
                if tile.mean(2).std() >= CONTRAST:
                    yield tile


def icons() -> Iterator[Image]:
    for path in sorted(ICONS.glob("*.webp")):
        yield resize(decode(path.read_bytes()).image, SIZE, "stretch")


def clothes(count: int) -> Iterator[Image]:
    """The first `count` images of Fashion-MNIST, 28 px."""
    with gzip.open(CLOTHES_FILE) as file:
        pixels = np.frombuffer(file.read(16 + count * 784)[16:], np.uint8).reshape(-1, 28, 28)
    for image in pixels:
        yield image[..., None].repeat(3, axis=2)


def resized_clothes() -> Iterator[Image]:
    for image in clothes(SEVERAL):
        yield resize(image, SIZE, "stretch")


def write(folder: Path, pictures: list[Image], copies: int = 1) -> None:
    """Write each image as `copies` PNG files; files that are there stay as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    for picture in pictures:
        for copy in range(copies):
            path = folder / f"{image_id(picture)[:16]}-{copy:02d}.png"
            if not path.is_file():
                PillowImage.fromarray(picture).save(path)


def _representatives(found: dict[str, Image]) -> list[str]:
    names = sorted(found)
    embedder = load_embedder("sscd-distilled")
    chunks = [names[k : k + 16] for k in range(0, len(names), 16)]
    vectors = np.concatenate([embedder.embed([found[n] for n in chunk]) for chunk in chunks])
    _, groups = connected_components(vectors @ vectors.T >= NEAR)
    sizes = np.bincount(groups)[groups]
    first = {group: k for k, group in reversed(list(enumerate(groups.tolist())))}
    return [names[k] for k in sorted(first.values()) if sizes[k] <= LARGEST]

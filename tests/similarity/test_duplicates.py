import io

import numpy as np
import PIL.Image
import pytest
from skimage import data

from memaudit.data.resize import resize
from memaudit.similarity.duplicates import group_duplicates
from memaudit.similarity.embed import load_embedder
from memaudit.similarity.search import IndexMeta, build_index

META = IndexMeta("test", "digest", "fingerprint", "64x64", "stretch")


def photo_tiles(side):
    photos = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket()]
    small = [resize(photo, (384, 384), "center-crop") for photo in photos]
    crops = [
        photo[y : y + 128, x : x + 128]
        for photo in small
        for y in range(0, 384, 128)
        for x in range(0, 384, 128)
    ]
    return [resize(np.ascontiguousarray(crop), (side, side), "stretch") for crop in crops]


def as_jpeg(image, quality):
    buffer = io.BytesIO()
    PIL.Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(PIL.Image.open(buffer))


def brightened(image):
    return np.minimum(image * 1.1, 255).astype(np.uint8)


def cropped(image):
    return resize(np.ascontiguousarray(image[1:-1, 1:-1]), image.shape[:2], "stretch")


def unit(rows):
    vectors = np.asarray(rows, np.float64)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def index_of(directory, vectors, ids=None):
    ids = ids or [f"{number:06d}" for number in range(len(vectors))]
    return build_index(directory, ids, [vectors], META)


def partition(groups, ids):
    """Groups as sets of ids, free of positions and numbers."""
    return {frozenset(np.array(ids)[groups == group]) for group in groups}


@pytest.mark.parametrize(
    ("name", "copy"),
    [
        ("pixels", brightened),
        ("pixels", lambda image: as_jpeg(image, 90)),
        ("sscd-distilled", brightened),
        ("sscd-distilled", cropped),
    ],
)
def test_near_copies_join_their_tile_and_different_tiles_stay_apart(tmp_path, name, copy):
    embedder, tiles = load_embedder(name), photo_tiles(64)
    vectors = embedder.embed([*tiles, *map(copy, tiles)])
    groups = group_duplicates(index_of(tmp_path, vectors), embedder.duplicate_threshold)
    own = np.arange(len(tiles))
    np.testing.assert_array_equal(groups[: len(tiles)], own)
    assert np.mean(groups[len(tiles) :] == own) > 0.9


def test_groups_are_connected_components_named_by_their_smallest_id(tmp_path):
    angles = np.radians([0, 50, 100, 10, 20, 30])
    vectors = unit(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    index = index_of(tmp_path, vectors, ["f", "e", "d", "c", "b", "a"])
    np.testing.assert_array_equal(group_duplicates(index, np.cos(0.2)), [5, 1, 2, 5, 5, 5])


def test_groups_do_not_depend_on_the_order_of_positions(tmp_path):
    embedder = load_embedder("pixels")
    tiles = photo_tiles(32)
    vectors = embedder.embed([*tiles, *map(brightened, tiles)])
    ids = [f"{number:02d}" for number in range(len(vectors))]
    order = np.random.default_rng(0).permutation(len(ids))
    shuffled = [ids[position] for position in order]
    one = group_duplicates(index_of(tmp_path / "a", vectors, ids), 0.6)
    other = group_duplicates(index_of(tmp_path / "b", vectors[order], shuffled), 0.6)
    assert 1 < len(set(one)) < len(tiles)
    assert partition(one, ids) == partition(other, shuffled)
    assert {ids[group] for group in one} == {shuffled[group] for group in other}


def test_pairs_in_different_blocks_are_found(tmp_path):
    vectors = unit(np.random.default_rng(0).normal(size=(2600, 64)))
    vectors[2500] = vectors[3]
    vectors[1200] = vectors[1100]
    expected = np.arange(2600)
    expected[[2500, 1200]] = [3, 1100]
    groups = group_duplicates(index_of(tmp_path, vectors), 0.9)
    np.testing.assert_array_equal(groups, expected)


def test_equal_vectors_reach_a_threshold_of_one_and_near_ones_do_not(tmp_path):
    base = unit(np.random.default_rng(0).normal(size=(1, 512)))
    near = unit(base + 1e-4 * np.random.default_rng(1).normal(size=(1, 512)))
    vectors = np.concatenate([base, base, near])
    np.testing.assert_array_equal(group_duplicates(index_of(tmp_path, vectors), 1.0), [0, 0, 2])


def test_thousands_of_equal_vectors_are_one_group(tmp_path):
    vectors = np.repeat(unit(np.ones((1, 8))), 3000, axis=0)
    assert not group_duplicates(index_of(tmp_path, vectors), 1.0).any()

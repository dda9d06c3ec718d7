import hashlib
import json
import os
from dataclasses import asdict, replace

import faiss
import numpy as np
import pytest
from skimage import data

from memaudit.data.resize import resize
from memaudit.errors import ConfigError, DependencyError, IndexMismatchError
from memaudit.similarity.embed import load_embedder
from memaudit.similarity.search import (
    FaissBackend,
    IndexMeta,
    TorchBackend,
    build_index,
    load_index,
    match,
)

META = IndexMeta("pixels", "digest", "fingerprint", "64x64", "center-crop")
PIXELS = load_embedder("pixels")
SIDE = 32


def photo_tiles():
    """Cut photographs into tiles of 32 px: 324 images, many of them alike."""
    photos = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket()]
    small = [resize(photo, (288, 288), "center-crop") for photo in photos]
    return np.concatenate(
        [
            photo.reshape(9, SIDE, 9, SIDE, 3).swapaxes(1, 2).reshape(-1, SIDE, SIDE, 3)
            for photo in small
        ]
    )


TILES = photo_tiles()
VECTORS = PIXELS.embed(TILES)
IDS = [f"{number * 7919 % 10007:05d}" for number in range(len(TILES))]


def noisy(sigma):
    noise = np.random.default_rng(0).normal(0, sigma, TILES.shape)
    return PIXELS.embed(np.clip(TILES + noise, 0, 255).astype(np.uint8))


def unit(rows):
    vectors = np.asarray(rows, np.float64)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def build(directory, vectors=VECTORS, ids=IDS):
    return build_index(directory, ids, np.array_split(vectors, 3), META)


@pytest.fixture
def index(tmp_path):
    return build(tmp_path / "index")


def brute_force(index, query, own):
    """Rank of the source and the sorted others, straight from the definition."""
    similarity = (index.vectors.astype(np.float64) @ query.astype(np.float64)).round(6)
    others = np.flatnonzero(index.groups != index.groups[own])
    rank = 1 + np.count_nonzero(similarity[others] > similarity[own])
    nearest = sorted(others, key=lambda position: (-similarity[position], index.ids[position]))
    return rank, [index.ids[position] for position in nearest], similarity[nearest]


@pytest.mark.parametrize("sigma", [0, 60, 600])
def test_ranks_and_neighbours_equal_brute_force(index, sigma):
    queries, own = noisy(sigma), np.arange(len(TILES))
    index = index.with_groups(own // 9)
    matches = match(index, queries, own, neighbours=3)
    for row in range(len(TILES)):
        rank, ids, similarity = brute_force(index, queries[row], row)
        assert matches.own_rank[row] == rank
        assert matches.neighbour_ids[row] == ids[:3]
        np.testing.assert_array_equal(matches.neighbours[row], np.float32(similarity[:3]))
    assert sigma < 600 or matches.own_rank.max() > 100


def test_own_similarities_are_cosines_to_the_source(index):
    flipped = PIXELS.embed(TILES[:, :, ::-1])
    matches = match(index, flipped[:8], np.arange(8))
    expected = np.sum(VECTORS[:8] * flipped[:8], axis=1)
    np.testing.assert_allclose(matches.own, expected, atol=1e-6)
    assert matches.own.max() < 0.999


def test_results_do_not_depend_on_the_batch(index):
    queries, own = noisy(60), np.arange(len(TILES))
    whole = match(index, queries, own)
    single = [match(index, queries[[row]], own[[row]]) for row in range(len(TILES))]
    np.testing.assert_array_equal(whole.own, np.concatenate([one.own for one in single]))
    np.testing.assert_array_equal(
        whole.neighbours, np.concatenate([one.neighbours for one in single])
    )
    assert whole.neighbour_ids == [one.neighbour_ids[0] for one in single]


def test_the_nearest_other_of_a_repeated_image_is_not_its_own_copy(tmp_path):
    bright = PIXELS.embed(np.minimum(TILES[[40]] * 1.1, 255).astype(np.uint8))
    index = build(tmp_path, np.concatenate([VECTORS, bright]), [*IDS, "copy"])
    groups = np.r_[np.arange(len(IDS)), 40]
    alone = match(index, bright, np.array([40]))
    grouped = match(index.with_groups(groups), bright, np.array([40]))
    assert alone.neighbour_ids == [["copy"]]
    assert grouped.neighbour_ids[0][0] in set(IDS) - {IDS[40]}
    assert (alone.own_rank[0], grouped.own_rank[0]) == (2, 1)


def test_ties_break_by_id_even_beyond_the_neighbours_searched(tmp_path):
    ids = [f"{number:03d}" for number in range(60)][::-1]
    vectors = unit([[1, 0, 0]] * 40 + [[0, 1, 0]] * 20)
    index = build(tmp_path, vectors, ids)
    own = np.array([59])
    matches = match(index, unit([[1, 0.5, 0]]), own, neighbours=2)
    assert matches.neighbour_ids == [["020", "021"]]
    assert matches.own_rank.tolist() == [41]


def test_a_group_larger_than_the_search_is_left_out_whole(tmp_path):
    rng = np.random.default_rng(0)
    cluster = unit([1, 0, 0, 0] + 0.01 * rng.normal(size=(1500, 4)))
    vectors = np.concatenate([cluster, unit([[0, 1, 0, 0], [0, 0, 1, 0]])])
    ids = [f"{number:04d}" for number in range(1502)]
    index = build(tmp_path, vectors, ids).with_groups(np.r_[np.zeros(1500, int), 1500, 1501])
    matches = match(index, unit([[1, 0.2, 0.1, 0]]), np.array([3]))
    assert matches.neighbour_ids == [["1500"]]
    assert matches.own_rank.tolist() == [1]


def test_fewer_others_than_asked_for_are_padded(tmp_path):
    index = build(tmp_path, unit(np.eye(3)), ["a", "b", "c"]).with_groups(np.array([0, 0, 2]))
    matches = match(index, unit([[1, 0, 1]]), np.array([0]), neighbours=3)
    assert matches.neighbour_ids == [["c", "", ""]]
    np.testing.assert_allclose(matches.neighbours, [[0.5**0.5, np.nan, np.nan]], rtol=1e-5)


def test_no_queries_give_no_matches(index):
    none = VECTORS[:0]
    matches = match(index, none, np.empty(0, np.int64), neighbours=2)
    assert matches.neighbours.shape == (0, 2)
    assert matches.own.shape == matches.own_rank.shape == (0,)


@pytest.mark.parametrize("value", [np.nan, np.inf, 7.0])
def test_queries_that_are_no_unit_vectors_are_refused(index, value):
    queries = VECTORS[:3].copy()
    queries[1, 5] = value
    with pytest.raises(DependencyError, match=r"1 of 3 queries have no unit length .first: row 1"):
        index.search(queries, 1)
    with pytest.raises(DependencyError, match="queries have no unit length"):
        match(index, queries, np.arange(3))


def test_queries_of_another_embedder_are_refused(index):
    with pytest.raises(DependencyError, match=r"shape \(2, 512\), expected \[N, 3072\]"):
        index.search(np.zeros((2, 512), np.float32), 1)


@pytest.mark.parametrize("block", [50, 1000])
def test_torch_finds_the_neighbours_that_faiss_finds(index, block):
    queries = noisy(60)
    torch_backend = TorchBackend(index.vectors, "cpu", block)
    faiss_backend = FaissBackend(index.flat)
    positions, similarities = torch_backend.search(queries, 5)
    expected_positions, expected = faiss_backend.search(queries, 5)
    np.testing.assert_array_equal(positions, expected_positions)
    np.testing.assert_allclose(similarities, expected, atol=2e-6)
    np.testing.assert_allclose(
        torch_backend.products(queries), faiss_backend.products(queries), atol=2e-6
    )


def test_matches_by_torch_equal_matches_by_faiss(index):
    queries, own = noisy(60), np.arange(len(TILES))
    by_torch = replace(index, backend=TorchBackend(index.vectors, "cpu", block=100))
    one, other = (match(which, queries, own, 2) for which in (index, by_torch))
    assert one.neighbour_ids == other.neighbour_ids
    np.testing.assert_array_equal(one.neighbours, other.neighbours)
    np.testing.assert_array_equal(one.own_rank, other.own_rank)


def test_a_loaded_index_is_the_one_that_was_built(tmp_path):
    build(tmp_path / "index")
    loaded = load_index(tmp_path / "index", META)
    assert loaded.ids == IDS
    assert loaded.positions[IDS[17]] == 17
    np.testing.assert_array_equal(loaded.vectors, VECTORS)
    assert sorted(path.name for path in (tmp_path / "index").iterdir()) == [
        "index.faiss",
        "index.json",
    ]


def test_an_index_of_another_embedder_names_the_difference(tmp_path):
    build(tmp_path)
    other = replace(META, embedder="sscd", digest="else", resolution="32x32")
    with pytest.raises(IndexMismatchError) as caught:
        load_index(tmp_path, other)
    assert "digest is 'digest', expected 'else'" in str(caught.value)
    assert "resolution is '64x64', expected '32x32'" in str(caught.value)
    assert "made by pixels, wanted for sscd" in str(caught.value)


def test_the_same_weights_under_another_name_may_be_used(index, tmp_path):
    loaded = load_index(tmp_path / "index", replace(META, embedder="pixels, moved"))
    assert len(loaded.ids) == len(index.ids)


def edit_sidecar(directory, **changes):
    sidecar = json.loads((directory / "index.json").read_text())
    (directory / "index.json").write_text(json.dumps(sidecar | changes))


def test_changed_vectors_are_noticed(tmp_path):
    build(tmp_path)
    content = bytearray((tmp_path / "index.faiss").read_bytes())
    content[-1] ^= 1
    (tmp_path / "index.faiss").write_bytes(content)
    with pytest.raises(IndexMismatchError, match=r"is not the file index\.json belongs to"):
        load_index(tmp_path)


def test_an_index_without_its_sidecar_was_never_finished(tmp_path):
    build(tmp_path)
    (tmp_path / "index.json").unlink()
    with pytest.raises(IndexMismatchError, match="never finished"):
        load_index(tmp_path)


def test_an_index_without_its_vectors_is_refused(tmp_path):
    build(tmp_path)
    (tmp_path / "index.faiss").unlink()
    with pytest.raises(IndexMismatchError, match="is missing"):
        load_index(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"meta": {"colour": 1}}'])
def test_a_damaged_sidecar_is_refused(tmp_path, text):
    build(tmp_path)
    (tmp_path / "index.json").write_text(text)
    with pytest.raises(IndexMismatchError, match="cannot be read"):
        load_index(tmp_path)


def test_a_pipe_in_place_of_a_sidecar_is_refused_and_not_waited_for(tmp_path):
    build(tmp_path)
    (tmp_path / "index.json").unlink()
    os.mkfifo(tmp_path / "index.json")
    with pytest.raises(IndexMismatchError, match="expected a regular file, found a pipe"):
        load_index(tmp_path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("resolution", value) for value in ("axb", "0x0", "1000000x1000000", "-1x-1", 5)),
        *(("resize", "evil"), ("embedder", 5), ("version", "x"), ("version", 1e999)),
    ],
)
def test_a_sidecar_that_makes_no_sense_is_refused_by_its_field(tmp_path, field, value):
    build(tmp_path)
    edit_sidecar(tmp_path, meta=asdict(META) | {field: value})
    with pytest.raises(IndexMismatchError, match=rf"index\.json cannot be read \(meta\.{field}: "):
        load_index(tmp_path)


def test_a_sidecar_with_other_ids_is_refused(tmp_path):
    build(tmp_path)
    edit_sidecar(tmp_path, ids=IDS[:-1])
    with pytest.raises(IndexMismatchError, match="not an exact index of the 323 ids"):
        load_index(tmp_path)
    edit_sidecar(tmp_path, ids=[*IDS[:-1], IDS[0]])
    with pytest.raises(IndexMismatchError, match="lists an id twice"):
        load_index(tmp_path)


def test_an_index_that_holds_nan_is_refused_even_under_its_seal(tmp_path):
    flat = build(tmp_path).flat
    faiss.rev_swig_ptr(flat.get_xb(), 1)[0] = np.nan
    faiss.write_index(flat, str(tmp_path / "index.faiss"))
    content = (tmp_path / "index.faiss").read_bytes()
    edit_sidecar(tmp_path, sha256=hashlib.sha256(content).hexdigest())
    with pytest.raises(IndexMismatchError, match="1 of 324 vectors have no unit length"):
        load_index(tmp_path)


def test_nan_is_refused_when_an_index_is_built(tmp_path):
    vectors = VECTORS.copy()
    vectors[200] = np.nan
    with pytest.raises(DependencyError, match="vectors have no unit length"):
        build(tmp_path, vectors)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("count", [0, 323, 325])
def test_ids_and_vectors_must_be_as_many(tmp_path, count):
    vectors = np.resize(VECTORS, (count, VECTORS.shape[1]))
    with pytest.raises(ConfigError, match=f"{count} vectors for 324 ids"):
        build(tmp_path, vectors)


def test_an_id_given_twice_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="324 ids for the index, 323 of them different"):
        build(tmp_path, ids=[*IDS[:-1], IDS[0]])


def test_groups_must_cover_every_position(index):
    with pytest.raises(ValueError, match=r"found shape \(3,\), expected \(324,\)"):
        index.with_groups(np.arange(3))

"""What an embedding says of the look of an image."""

from pathlib import Path

import numpy as np
import pytest

from memaudit.audit.representatives import LOOKS, looks
from memaudit.similarity.search import Index, IndexMeta, build_index

META = IndexMeta("made", "digest", "fingerprint", "own size", "stretch")


def index_of(images: int, dim: int, place: Path) -> Index:
    vectors = np.random.default_rng(0).standard_normal((images, dim))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return build_index(place, [f"{k:064x}" for k in range(images)], [vectors], META)


@pytest.mark.parametrize(("images", "dim"), [(200, 32), (200, 300), (5, 300), (5, 8)])
def test_looks_are_the_principal_components_whether_images_or_numbers_are_fewer(
    images, dim, tmp_path
):
    index = index_of(images, dim, tmp_path)
    found = looks(index, index.ids).to_numpy()
    assert found.shape == (images, min(LOOKS, dim))
    centred = index.vectors - index.vectors.mean(axis=0, dtype=np.float64)
    left, spreads, _ = np.linalg.svd(centred, full_matrices=False)
    expected = np.zeros(found.shape)
    rank = min(LOOKS, dim, images - 1)
    expected[:, :rank] = (left * spreads)[:, :rank]
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=2e-5)
    assert (found[:, rank:] == 0).all()


def test_one_image_alone_has_no_look(tmp_path):
    index = index_of(1, 300, tmp_path)
    assert (looks(index, index.ids).to_numpy() == 0).all()


def test_the_components_are_those_of_one_image_of_each_group(tmp_path):
    """However many copies a picture has, all are told apart by the same directions."""
    index = index_of(50, 32, tmp_path)
    vectors = np.concatenate([index.vectors, np.repeat(index.vectors[:3], 40, axis=0)])
    ids = [*index.ids, *(f"{k:064x}" for k in range(1000, 1120))]
    copied = build_index(tmp_path / "copied", ids, [vectors], META)
    found, alone = looks(copied, index.ids), looks(index, index.ids)
    np.testing.assert_allclose(found.loc[index.ids], alone.loc[index.ids], atol=2e-5)

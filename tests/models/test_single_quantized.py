"""Weights in fewer bits: those that are read as the numbers they stand for, and those refused."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from single_files import HELD, NETWORK, of_class, single, write
from single_names import Tensors
from tiny import write_sd
from tiny_families import write_flux

from memaudit.errors import DependencyError, ModelError
from memaudit.models.load import load_model
from memaudit.models.loaded import Loaded, ModelOptions

E4M3, E5M2 = torch.float8_e4m3fn, torch.float8_e5m2


@pytest.fixture(scope="module")
def sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sd(tmp_path_factory.mktemp("sd"))


@pytest.fixture(scope="module")
def flux(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_flux(tmp_path_factory.mktemp("flux"))


def opened(file: Path, base: Path) -> Loaded:
    return load_model(str(file), ModelOptions(base=str(base), resolution=32))


def weights(loaded: Loaded) -> Tensors:
    """All numbers of the parts of a model."""
    parts = loaded.denoiser.pipeline.components.items()
    networks = {name: part for name, part in parts if isinstance(part, torch.nn.Module)}
    return {
        f"{name}.{each}": one
        for name, network in networks.items()
        for each, one in network.state_dict().items()
    }


def expect_equal(ours: Loaded, theirs: Loaded) -> None:
    a, b = weights(ours), weights(theirs)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


def of_network(tensors: Tensors) -> Tensors:
    """The weights of a network that are matrices."""
    return {n: one for n, one in tensors.items() if n.startswith(NETWORK) and one.ndim > 1}


@pytest.mark.parametrize("dtype", [E4M3, E5M2])
def test_plain_fp8_is_read_as_the_numbers_that_it_holds(
    sd: Path, tmp_path: Path, dtype: torch.dtype
) -> None:
    tensors = of_class(sd)
    small = {name: one.to(dtype) for name, one in of_network(tensors).items()}
    made = opened(write(tmp_path / "small.safetensors", tensors | small), sd)
    rounded = {name: one.float() for name, one in small.items()}
    expect_equal(made, opened(write(tmp_path / "same.safetensors", tensors | rounded), sd))
    formats = made.provenance.details["single_file"]["formats"]
    name = "F8_E4M3" if dtype is E4M3 else "F8_E5M2"
    assert formats == {"F32": len(tensors) - len(small), name: len(small)}


def test_scaled_fp8_is_multiplied_by_its_scale(sd: Path, tmp_path: Path) -> None:
    tensors = of_class(sd)
    matrices = of_network(tensors)
    scales = {name: one.abs().max() / 448 for name, one in matrices.items()}
    small = {name: (one / scales[name]).to(E4M3) for name, one in matrices.items()}
    beside = {
        name.replace(".weight", ".scale_weight"): scale.reshape(1) for name, scale in scales.items()
    }
    some = [*beside.items()][:3]
    beside |= {name.replace("_weight", "_input"): one + 1 for name, one in some}
    beside["scaled_fp8"] = torch.zeros(2).to(E4M3)
    file = write(tmp_path / "small.safetensors", tensors | small | beside)
    made = opened(file, sd)
    exact = {name: one.float() * scales[name] for name, one in small.items()}
    expect_equal(made, opened(write(tmp_path / "same.safetensors", tensors | exact), sd))
    assert made.provenance.details["single_file"]["unused"] == {
        "scale of activations in fp8, in which nothing is computed here": 3,
        "scale of fp8 weights": len(scales),
        "says that fp8 weights are scaled": 1,
    }


def test_a_number_of_fp8_that_is_none_is_refused(sd: Path, tmp_path: Path) -> None:
    tensors = of_class(sd)
    [name, *_] = of_network(tensors)
    broken = torch.full_like(tensors[name], float("nan")).to(E4M3)
    with pytest.raises(ModelError, match="hold NaN or infinity"):
        opened(write(tmp_path / "model.safetensors", tensors | {name: broken}), sd)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({f"{NETWORK}out.2.weight_scale": torch.ones(1)}, "it holds .*out.2.weight_scale"),
        ({f"{NETWORK}out.2.comfy_quant": torch.ones(1)}, "it holds .*comfy_quant"),
        ({f"{NETWORK}out.2.weight.absmax": torch.ones(1)}, "it holds .*absmax"),
        (
            {f"{NETWORK}out.2.weight.quant_state.bitsandbytes__nf4": torch.ones(1)},
            "it holds .*bitsandbytes__nf4",
        ),
        ({f"{NETWORK}out.2.scale_weight": torch.ones(1)}, r"out.2.scale_weight .* weight in F32"),
        (
            {
                f"{NETWORK}out.2.weight": torch.ones(4, 16, 3, 3).to(E4M3),
                f"{NETWORK}out.2.scale_weight": torch.ones(4, 1),
            },
            r"of shape \[4, 1\] beside a weight in F8_E4M3, expected one number",
        ),
        (
            {f"{NETWORK}out.2.weight": torch.ones(4, 16, 3, 3).to(torch.int8)},
            "out.2.weight is in I8, expected floating-point numbers",
        ),
    ],
)
def test_packed_weights_are_refused_by_what_stands_beside_them(
    sd: Path, tmp_path: Path, more: Tensors, said: str
) -> None:
    file = write(tmp_path / "model.safetensors", of_class(sd) | more)
    with pytest.raises(ModelError, match=rf"is quantized: .*{said}.*give a file of the same model"):
        opened(file, sd)


def write_gguf(path: Path, tensors: Tensors, kind: str) -> Path:
    """A GGUF file: matrices in blocks where their rows are whole blocks, the rest plain."""
    gguf: Any = pytest.importorskip("gguf")
    writer = gguf.GGUFWriter(str(path), "flux")
    wanted = gguf.GGMLQuantizationType[kind]
    block, _ = gguf.GGML_QUANT_SIZES[wanted]
    for name, one in tensors.items():
        data = one.float().numpy()
        if one.ndim > 1 and one.shape[-1] % block == 0:
            packed = gguf.quants.quantize(data, wanted)
            writer.add_tensor(name, packed, raw_dtype=wanted)
        else:
            writer.add_tensor(name, np.ascontiguousarray(data))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0", "BF16", "F16"])
def test_gguf_is_read_as_the_numbers_that_its_blocks_stand_for(
    flux: Path, tmp_path: Path, kind: str
) -> None:
    gguf: Any = pytest.importorskip("gguf")
    _, inverse = HELD["FluxPipeline"]["transformer"]
    tensors = single(flux, {"transformer": ("", inverse)})
    made = opened(write_gguf(tmp_path / "flux.gguf", tensors, kind), flux)
    wanted = gguf.GGMLQuantizationType[kind]
    block, _ = gguf.GGML_QUANT_SIZES[wanted]
    exact = {
        name: torch.from_numpy(
            np.array(gguf.quants.dequantize(gguf.quants.quantize(one.numpy(), wanted), wanted))
        )
        for name, one in tensors.items()
        if one.ndim > 1 and one.shape[-1] % block == 0
    }
    assert exact
    expect_equal(made, opened(write(tmp_path / "same.safetensors", tensors | exact), flux))
    said = made.provenance.details["single_file"]
    assert said["formats"] == {"F32": len(tensors) - len(exact), kind: len(exact)}
    assert said["parts"] == {
        "transformer": "flux.gguf",
        **dict.fromkeys(("vae", "text_encoder", "text_encoder_2"), "base"),
    }


def test_what_was_folded_into_blocks_has_its_own_shape_again(sd: Path, tmp_path: Path) -> None:
    gguf: Any = pytest.importorskip("gguf")
    _, inverse = HELD["StableDiffusionPipeline"]["unet"]
    tensors = single(sd, {"unet": ("", inverse)})
    writer = gguf.GGUFWriter(str(tmp_path / "sd.gguf"), "sd1")
    for name, one in tensors.items():
        if name == "input_blocks.1.0.in_layers.2.weight":  # [16, 16, 3, 3]
            writer.add_array(f"comfy.gguf.orig_shape.{name}", [*one.shape])
            writer.add_tensor(name, one.reshape(9, 256).numpy())
        else:
            writer.add_tensor(name, np.ascontiguousarray(one.numpy()))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    expect_equal(opened(tmp_path / "sd.gguf", sd), load_model(str(sd), ModelOptions()))


def test_a_damaged_gguf_is_refused_and_ends(flux: Path, tmp_path: Path) -> None:
    _, inverse = HELD["FluxPipeline"]["transformer"]
    tensors = single(flux, {"transformer": ("", inverse)})
    file = write_gguf(tmp_path / "flux.gguf", dict(list(tensors.items())[:4]), "Q8_0")
    whole = file.read_bytes()
    endless = whole[:16] + (2**63).to_bytes(8, "little") + whole[24:]
    array = (4).to_bytes(8, "little") + b"long" + (9).to_bytes(4, "little")
    array += (4).to_bytes(4, "little") + (2**63).to_bytes(8, "little")
    long = whole[:16] + (1).to_bytes(8, "little") + array
    for damaged in (b"", b"GGUF", b"nothing at all", whole[:100], whole[:-50], endless, long):
        file.write_bytes(damaged)
        with pytest.raises(
            ModelError, match=r"is not a whole GGUF file: .*; copy or download it again"
        ):
            opened(file, flux)


def test_without_its_package_a_gguf_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    with pytest.raises(DependencyError, match=r"pip install 'memaudit-diffusion\[gguf\]'"):
        load_model(str(tmp_path / "model.gguf"), ModelOptions())

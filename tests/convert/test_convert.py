"""A conversion as a whole: a process of its own opens the file, and OUT is whole or absent."""

import argparse
import os
import pickle
import re
import shutil
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import UNet2DModel
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import memaudit
from memaudit.config import ConvertConfig
from memaudit.convert.pipeline import convert
from memaudit.convert.result import Converted, LeftOut
from memaudit.errors import ModelError
from memaudit.models.load import load_model
from memaudit.models.loaded import ModelOptions
from memaudit.models.weights import sha256_file

TORCH_LOAD = re.compile(r"torch\.load|\bpickle\.loads?\b|Unpickler\(|allow_pickle=True")
OPENS = "memaudit/convert/child.py"  # the one file that unpickles


class Armed:
    """What leaves a folder behind when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.marker),)


def weights() -> OrderedDict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    kernel = torch.randn(4, 3, 3, 3, generator=generator)
    return OrderedDict(
        kernel=kernel,
        tied=kernel,
        half=kernel.half(),
        brain=kernel.bfloat16(),
        turned=kernel.permute(1, 0, 2, 3),
        steps=torch.arange(5),
        scale=torch.tensor(0.5),
    )


def converted(file: Path, out: Path, take: str | None = None) -> Converted:
    return convert(ConvertConfig(file=str(file), out=str(out), take=take))


def refused(file: Path, said: str, take: str | None = None) -> None:
    """Expect one line that names the file, and nothing beside it."""
    before = sorted(file.parent.iterdir())
    with pytest.raises(ModelError, match=said) as error:
        converted(file, file.parent / "out.safetensors", take)
    assert str(error.value).startswith(str(file))
    assert "\n" not in str(error.value)
    assert sorted(file.parent.iterdir()) == before


@pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}])
def test_the_tensors_of_a_lightning_checkpoint_come_out_as_they_are(tmp_path, options):
    content = {"state_dict": weights(), "optimizer_states": [], "epoch": 3, "note": "text"}
    file, out = tmp_path / "last.ckpt", tmp_path / "last.safetensors"
    torch.save(content, file, **options)
    done = converted(file, out)
    found = load_file(out)
    assert {name: one.dtype for name, one in found.items()} == {
        name: one.dtype for name, one in weights().items()
    }
    assert all(torch.equal(found[name], one) for name, one in weights().items())
    written = done.written
    assert (written.taken, written.tensors, written.more) == ("state_dict", 7, 0)
    assert written.numbers == sum(one.numel() for one in weights().values())
    assert written.dtypes == {"float32": 4, "float16": 1, "bfloat16": 1, "int64": 1}
    assert LeftOut("epoch", "a number") in written.left_out
    assert (written.sha256, done.sha256) == (sha256_file(file), sha256_file(out))
    with safe_open(out, framework="pt") as opened:
        said = {"format": "pt", "source_sha256": sha256_file(file), "taken": "state_dict"}
        assert opened.metadata() == said
    assert sorted(tmp_path.iterdir()) == [file, out]
    assert out.stat().st_mode == file.stat().st_mode


def test_of_several_sets_of_weights_one_is_taken_by_its_name(tmp_path):
    torch.save({"model": weights(), "ema": {"w": torch.ones(2)}, "args": {}}, tmp_path / "a.pt")
    refused(tmp_path / "a.pt", r"2 sets of weights: model \(7 tensors.*--take ema")
    refused(tmp_path / "a.pt", "no set of weights under emma", take="emma")
    done = converted(tmp_path / "a.pt", tmp_path / "ema.safetensors", take="ema")
    assert load_file(tmp_path / "ema.safetensors")["w"].tolist() == [1, 1]
    assert done.written.left_out == (LeftOut("model", "7 tensors"), LeftOut("args", "0 entries"))


def test_ema_weights_beside_raw_ones_under_names_of_their_own_are_both_kept(tmp_path):
    raw, ema = "model.diffusion_model.out.0.weight", "model_ema.diffusion_modelout0weight"
    counted = {"model_ema.decay": torch.tensor(0.99), "model_ema.num_updates": torch.tensor(7)}
    content = {raw: torch.ones(2), ema: torch.zeros(2), **counted}
    torch.save({"state_dict": content, "global_step": 7}, tmp_path / "full.ckpt")
    done = converted(tmp_path / "full.ckpt", tmp_path / "full.safetensors")
    assert done.written.ema_beside_raw
    assert set(load_file(tmp_path / "full.safetensors")) == set(content)


@pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}])
def test_a_pickle_that_asks_for_code_is_refused_and_nothing_of_it_is_run(tmp_path, options):
    (tmp_path / "in").mkdir()
    marker = tmp_path / "was-unpickled"
    content = {"model": weights(), "armed": Armed(marker)}
    torch.save(content, tmp_path / "in/armed.pt", **options)
    refused(tmp_path / "in/armed.pt", r"asks for posix\.mkdir, .*nothing of it was run. Open it wh")
    assert not marker.exists()


def test_whatever_classes_a_pickle_asks_for_are_named(tmp_path):
    content = {"model": weights(), "args": argparse.Namespace(lr=1), "path": Path("x")}
    torch.save(content, tmp_path / "own.pt")
    refused(tmp_path / "own.pt", r"asks for argparse\.Namespace, pathlib\.")


@pytest.mark.filterwarnings("ignore")
def test_what_is_no_checkpoint_of_torch_is_refused_with_its_reason(tmp_path):
    torch.save(weights(), tmp_path / "whole.pt")
    content = (tmp_path / "whole.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(content[: len(content) // 2])
    refused(tmp_path / "cut.pt", "cannot be read as what torch.save writes .*download it again")
    (tmp_path / "junk.bin").write_bytes(bytes(range(256)) * 20)
    refused(tmp_path / "junk.bin", "torch.save writes")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps({"w": [1.0, 2.0]}))
    refused(tmp_path / "plain.pt", "none of plain weights.*nothing of it was run")
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "script.pt")
    refused(tmp_path / "script.pt", "TorchScript program, which is code, and nothing of it was run")


def write_npz(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, w=np.ones(3))


@pytest.mark.parametrize(
    ("name", "write", "said"),
    [
        ("edm.pkl", lambda path: path.write_bytes(pickle.dumps(1)), "as EDM writes them.*trusted"),
        ("edm.npz", write_npz, "holds arrays of numpy, not a checkpoint"),
        ("a.safetensors", lambda path: path.write_bytes(b"x"), "is a .safetensors file already"),
        ("a.txt", lambda path: path.write_bytes(b"x"), "is none of .ckpt, .pt, .pth, .bin"),
        ("a.pt", lambda path: save_file(weights_alone(), path), "under another name: rename it"),
        ("a.bin", lambda path: path.write_bytes(b"GGUF" + bytes(99)), "is a GGUF file"),
        ("a.bin", lambda path: path.write_bytes(b"version https://git-lfs.git"), "git lfs pull"),
        ("a.pt", lambda path: path.write_bytes(b""), "is empty"),
        ("a.pt", lambda path: path.mkdir(), "expected a regular file, found a folder"),
        ("a.pt", os.mkfifo, "found a pipe, socket or device"),
        ("a.pt", lambda path: None, "cannot be read: No such file"),  # noqa: ARG005
    ],
)
def test_what_cannot_be_a_checkpoint_is_refused_before_a_process_is_started(
    tmp_path, monkeypatch, name, write, said
):
    monkeypatch.setattr(sys, "executable", "/nowhere")
    write(tmp_path / name)
    refused(tmp_path / name, said)


def weights_alone() -> dict[str, torch.Tensor]:
    return {"w": torch.ones(3)}


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("out.pt", "does not end in .safetensors"),
        ("there.safetensors", "is there already; give another name"),
        ("link.safetensors", "is there already"),
        ("nowhere/out.safetensors", "nowhere, where out.safetensors is to be, is no folder"),
    ],
)
def test_a_place_that_is_taken_or_missing_is_refused(tmp_path, out, said):
    (tmp_path / "there.safetensors").write_bytes(b"mine")
    (tmp_path / "link.safetensors").symlink_to("gone")
    torch.save(weights(), tmp_path / "a.pt")
    with pytest.raises(ModelError, match=said):
        converted(tmp_path / "a.pt", tmp_path / out)
    assert (tmp_path / "there.safetensors").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("kill -9 $$", "was ended by SIGKILL, mostly for want of memory; nothing was written"),
        ("kill -11 $$", "was ended by SIGSEGV; nothing was written"),
        ("echo broken >&2; exit 7", r"ended with code 7 and no answer \(broken\)"),
        ("echo no json", r"ended with code 0 and no answer \(it said nothing\)"),
        ('echo half > "${7}"; exit 1', "ended with code 1"),
        ('cd "${7%/*}"; echo half > .tmp; kill -9 $$', "was ended by SIGKILL"),
    ],
)
def test_a_process_that_dies_ends_in_one_line(tmp_path, monkeypatch, script, said):
    program = tmp_path / "python"
    program.write_text(f"#!/bin/bash\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    torch.save(weights(), tmp_path / "a.pt")
    refused(tmp_path / "a.pt", f"is not converted: the process that opened it .*{said}")


def test_the_process_is_told_no_secrets(tmp_path, monkeypatch):
    program = tmp_path / "python"
    program.write_text(f"#!/bin/bash\nenv > {tmp_path}/told; exit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setenv("HF_TOKEN", "secret")
    torch.save(weights(), tmp_path / "a.pt")
    with pytest.raises(ModelError):
        converted(tmp_path / "a.pt", tmp_path / "out.safetensors")
    names = {line.partition("=")[0] for line in (tmp_path / "told").read_text().splitlines()}
    assert "PYTHONPATH" in names
    assert names <= {
        *("PYTHONPATH", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH"),
        *("PYTHONHOME", "PWD", "SHLVL", "_"),  # the last three are of the shell
    }


def packed(source: Path, target: Path, fill: Callable[[Any], None] | None = None) -> None:
    """Write a checkpoint anew, compressed; `fill` writes the numbers of its first tensor."""
    with (
        zipfile.ZipFile(source) as old,
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as new,
    ):
        for one in old.infolist():
            if fill is not None and one.filename.endswith("data/0"):
                with new.open(one.filename, "w", force_zip64=True) as file:
                    fill(file)
            else:
                new.writestr(one.filename, old.read(one.filename))


def test_a_checkpoint_that_was_compressed_is_read_all_the_same(tmp_path):
    torch.save(weights(), tmp_path / "stored.pt")
    packed(tmp_path / "stored.pt", tmp_path / "packed.pt")
    converted(tmp_path / "packed.pt", tmp_path / "out.safetensors")
    found = load_file(tmp_path / "out.safetensors")
    assert all(torch.equal(found[name], one) for name, one in weights().items())


@pytest.mark.slow
def test_a_small_file_that_unpacks_into_a_large_one_ends_for_want_of_memory(tmp_path):
    torch.save({"w": torch.ones(10)}, tmp_path / "stored.pt")
    zeros = bytes(1 << 20)
    packed(
        tmp_path / "stored.pt",
        tmp_path / "bomb.pt",
        lambda file: [file.write(zeros) for _ in range(1600)],
    )
    assert (tmp_path / "bomb.pt").stat().st_size < 1e7
    refused(tmp_path / "bomb.pt", "takes more memory than there is, or than weights in a file of")


def test_names_of_files_that_are_no_text_are_read(tmp_path):
    torch.save(weights(), tmp_path / "a.pt")
    odd = tmp_path / os.fsdecode(b"\xff\n.pt")
    shutil.move(tmp_path / "a.pt", odd)
    converted(odd, tmp_path / "out.safetensors")
    assert len(load_file(tmp_path / "out.safetensors")) == 7


def test_weights_that_a_scan_refuses_are_read_once_they_are_converted(tmp_path):
    torch.manual_seed(0)
    blocks = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
    shape = {"sample_size": 8, "block_out_channels": (8, 16), "norm_num_groups": 4}
    network = UNet2DModel(**shape, **blocks, layers_per_block=1)
    network.save_pretrained(tmp_path, safe_serialization=False)
    with pytest.raises(ModelError, match="Convert it: memaudit convert ") as error:
        load_model(str(tmp_path), ModelOptions())
    file, out = str(error.value).split()[-2:]
    converted(Path(file), Path(out))
    denoiser = load_model(str(tmp_path), ModelOptions()).denoiser
    found = denoiser.network.state_dict()
    assert all(torch.equal(found[name], one) for name, one in network.state_dict().items())


def test_nothing_is_unpickled_but_in_that_process():
    root = Path(memaudit.__file__).parents[1]
    found = {
        str(path.relative_to(root))
        for path in (root / "memaudit").rglob("*.py")
        if TORCH_LOAD.search(path.read_text(encoding="utf-8"))
    }
    assert found == {OPENS}

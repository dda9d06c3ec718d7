"""`memaudit convert`: what is printed, and what it ends in."""

import json

import pytest
import torch

from memaudit.models.weights import sha256_file


@pytest.fixture
def checkpoint(tmp_path):
    weights = {f"layer{k}.weight": torch.ones(2, 3) for k in range(4)}
    content = {"state_dict": weights, **{f"n\x1b{k}": k for k in range(10)}}
    torch.save(content, tmp_path / "last.ckpt")
    return tmp_path / "last.ckpt"


def test_what_was_kept_and_left_out_is_said_with_both_sums(memaudit_command, checkpoint):
    out = checkpoint.with_suffix(".safetensors")
    done = memaudit_command("convert", checkpoint, out)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        f"{out}: 4 tensors of state_dict, 24 numbers (float32 4)",
        "left out: " + ", ".join(rf"n\x1b{k} (a number)" for k in range(8)) + " and 2 more",
        f"sha256 of {checkpoint}: {sha256_file(checkpoint)}",
        f"sha256 of {out}: {sha256_file(out)}",
    ]


def test_json_has_the_same(memaudit_command, checkpoint):
    out = checkpoint.with_suffix(".safetensors")
    told = json.loads(memaudit_command("convert", checkpoint, out, "--json").out)
    assert told.pop("left_out")[9] == {"name": "n\x1b9", "what": "a number"}
    assert told == {
        "format": 1,
        "file": str(checkpoint),
        "file_sha256": sha256_file(checkpoint),
        "out": str(out),
        "out_sha256": sha256_file(out),
        "taken": "state_dict",
        "tensors": 4,
        "numbers": 24,
        "dtypes": {"float32": 4},
        "more": 0,
        "ema_beside_raw": False,
    }


@pytest.mark.parametrize("words", [("--json",), (), ("--take", "ema")])
def test_a_refusal_is_one_line_and_ends_in_2(memaudit_command, tmp_path, words):
    torch.save({"model": {"w": torch.ones(1)}, "net": {"w": torch.ones(1)}}, tmp_path / "a.pt")
    done = memaudit_command("convert", tmp_path / "a.pt", tmp_path / "a.safetensors", *words)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.startswith(f"memaudit: error: {tmp_path / 'a.pt'} is not converted: it holds")
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


def test_blanks_are_refused(memaudit_command):
    for words in (("", "o.safetensors"), ("a.pt", ""), ("a.pt", "o.safetensors", "--take", "")):
        refused = memaudit_command("convert", *words)
        assert refused.code == 2
        assert "is blank, expected text" in refused.err

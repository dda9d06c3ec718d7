"""Twists a file as others might: one of its values, its text, its bytes, or what it is."""

import json
import os
import shutil
from copy import deepcopy
from pathlib import Path
from random import Random
from typing import Any

VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 2, 3, 7, 64, 1 << 20, 10**9, 10**30, -(10**9)),
    *(0.5, 1e-300, 1e308, float("nan"), float("inf"), -float("inf")),
    *(
        "",
        "x",
        "silu",
        "0",
        "\x1b[2J\n",
        "\u202e",
        "=1+1",
        "../../x",
        "/etc/passwd",
        "\0",
        "a" * 9999,
    ),
    *("(a+|[a-z_.0-9]+)+(([a-z._0-9]+)+)+$$X", "evil.Evil", [], {}, [0], [-1, "x"], ["a"] * 99),
    *([[1, 2], [3]], {"a": {"b": [1]}}, [10**9] * 3, [None]),
]
TEXTS = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"3",
    b'"x"',
    b"{}",
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"\xff\xfe{",
]
ADDED = (
    *(
        "auto_map",
        "quantization_config",
        "_attn_implementation",
        "_class_name",
        "time_embedding_type",
    ),
    *("class_embed_type", "encoder_hid_dim_type", "addition_embed_type", "trained_betas", "format"),
    *("num_class_embeds", "resnet_time_scale_shift", "conv_in_kernel", "dropout", "thresholding"),
)


def copy(source: Path, target: Path) -> Path:
    """A folder of links to the files of another, each of which may be replaced."""
    shutil.rmtree(target, ignore_errors=True)
    return Path(shutil.copytree(source, target, copy_function=os.link))


def put(path: Path, content: bytes) -> None:
    """Write a file in place of a link."""
    path.unlink()
    path.write_bytes(content)


def twist(random: Random, path: Path) -> None:
    """Twist one file."""
    kind = random.random()
    if kind < 0.06:
        _replace(random, path)
    elif path.suffix == ".json" and kind < 0.85:
        _json(random, path)
    elif path.suffix == ".json":
        put(path, random.choice(TEXTS))
    elif path.suffix == ".safetensors" and kind < 0.5:
        _header(random, path)
    else:
        _bytes(random, path)


def _json(random: Random, path: Path) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        _value(random, content)
    put(path, json.dumps(content).encode())


def _value(random: Random, content: Any) -> None:
    """Replace, remove or add a value somewhere inside."""
    at, depth = content, random.randrange(5)
    while depth and isinstance(at, dict | list) and len(at):
        inside = list(at.values()) if isinstance(at, dict) else at
        further = [one for one in inside if isinstance(one, dict | list) and one]
        if not further:
            break
        at, depth = random.choice(further), depth - 1
    keys = list(at) if isinstance(at, dict) else list(range(len(at)))
    if isinstance(at, dict) and (not keys or random.random() < 0.2):
        at[random.choice(ADDED)] = deepcopy(random.choice(VALUES))
    elif keys and random.random() < 0.1:
        del at[random.choice(keys)]
    elif keys:
        at[random.choice(keys)] = deepcopy(random.choice(VALUES))


def _header(random: Random, path: Path) -> None:
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    for _ in range(random.choice((1, 1, 3))):
        _value(random, header)
    text = json.dumps(header).encode()
    put(path, len(text).to_bytes(8, "little") + text + content[8 + size :])


def _bytes(random: Random, path: Path) -> None:
    content = bytearray(path.read_bytes())
    if random.random() < 0.3:
        content = content[: random.randrange(len(content) + 1)]
    for _ in range(random.choice((1, 4, 40))):
        if content:
            content[random.randrange(len(content))] = random.choice((0, 255, random.randrange(256)))
    put(path, bytes(content))


def _replace(random: Random, path: Path) -> None:
    path.unlink()
    how = random.randrange(6)
    if how == 1:
        path.mkdir()
    elif how == 2:
        os.mkfifo(path)
    elif how == 3:
        path.symlink_to("/dev/zero")
    elif how == 4:
        path.symlink_to(path)
    elif how == 5:
        path.symlink_to("/proc/self/mem")

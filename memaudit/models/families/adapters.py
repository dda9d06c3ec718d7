"""Files of adapters, whatever they are called and whoever wrote them, in one form."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from memaudit.errors import ModelError
from memaudit.foreign import refusing
from memaudit.models.lora.adapter import Adapter
from memaudit.models.lora.made import adapter_of
from memaudit.models.lora.names import LONG, is_of_adapter, named, other
from memaudit.models.lora.scale import said_of
from memaudit.models.names import bare_names
from memaudit.models.weights import tensors_in
from memaudit.text import shown

ADAPTERS = "pytorch_lora_weights.safetensors"  # what diffusers calls them
SUFFIX = ".safetensors"
PICKLED = ("pytorch_lora_weights.bin", "adapter_model.bin")  # it and peft, of old
LAYERS = 20_000  # that one file changes
WHOLE = (  # roles that make one adapter, and those that may stand beside them
    ({"down", "up"}, {"mid", "bias", "dora_scale", "magnitude"}),
    *(
        (left | right, core)
        for left in ({"lokr_w1"}, {"lokr_w1_a", "lokr_w1_b"})
        for right, core in (({"lokr_w2"}, set()), ({"lokr_w2_a", "lokr_w2_b"}, {"lokr_t2"}))
    ),
)


def holds_adapters(path: Path) -> bool:
    """Whether a .safetensors file holds adapters, whole or not; no tensor is read."""
    if path.name == ADAPTERS:
        return path.is_file()
    try:
        return any(is_of_adapter(name) for name in tensors_in(path))
    except ModelError:
        return False


def find_adapters(place: Path) -> list[Path]:
    """The files of adapters at a place: itself, or those of a folder."""
    if place.is_file():
        return [place] * (holds_adapters(place) or _is_damaged(place))
    if (place / ADAPTERS).is_file():
        return [place / ADAPTERS]
    found = (path for path in sorted(place.glob("*.safetensors")) if path.is_file())
    return [path for path in found if holds_adapters(path)] or [
        place / name for name in PICKLED if (place / name).is_file()
    ]


def _is_damaged(path: Path) -> bool:
    """Whether a file should hold tensors and cannot be read: what is wrong is said on reading."""
    try:
        tensors_in(path)
    except ModelError:
        return path.suffix == SUFFIX
    return False


def read_adapters(path: Path) -> tuple[Adapter, ...]:
    """Read adapters: no scale is left but in the tensors.

    What a file says of modules and ranks are patterns and numbers of another's making: of these
    only the scale is read. Raises ModelError for tensors that are no adapter that is read.
    """
    if path.name in PICKLED:
        raise ModelError(
            f"{path} holds pickled adapters, expected .safetensors: a pickle can run any code, so "
            "it is never loaded. Convert it: "
            f"{shlex.join(('memaudit', 'convert', str(path), str(path.with_suffix(SUFFIX))))}"
        )
    bare = bare_names({path: tensors_in(path)})[path]
    layers = _layers(bare.values(), path)
    with refusing(ModelError, f"{path} cannot be read"):
        tensors = {bare[name]: tensor for name, tensor in load_file(path).items()}
    for name, tensor in tensors.items():
        _check(name, tensor, path)
    said = said_of(path)
    adapters = tuple(
        adapter_of(layer, names, {role: tensors[name] for role, name in names.items()}, said)
        for layer, names in layers.items()
    )
    said.check({adapter.kind for adapter in adapters})
    if all(adapter.idle for adapter in adapters):
        raise ModelError(
            f"each of the {len(adapters)} adapters in {path} is zero (B = 0), as before the first "
            "step of a training: they change nothing. Give the file of a later step"
        )
    return adapters


def _layers(names: Iterable[str], path: Path) -> dict[str, dict[str, str]]:
    """The names of the tensors by layer and role, each layer's whole; raises ModelError."""
    layers: dict[str, dict[str, str]] = {}
    for name in names:
        said = named(name)
        if said is None:
            kind, advice = other(name)
            raise ModelError(
                f"{path} holds {shown(name[:LONG])}, {kind}; expected adapters alone (LoRA, LoCon, "
                f"DoRA or LoKr). {advice}"
            )
        roles = layers.setdefault(said.layer, {})
        if said.role in roles:
            raise ModelError(
                f"{path} holds both {shown(roles[said.role])} and {shown(name)}, expected one: "
                "they are the same part of one adapter; remove the one that is wrong"
            )
        roles[said.role] = name
    if not 0 < len(layers) <= LAYERS:
        raise ModelError(
            f"{path} holds adapters of {len(layers)} layers, expected 1 to {LAYERS}; copy or "
            "download it again"
        )
    for roles in layers.values():
        _check_whole(roles, path)
    return layers


def _check_whole(roles: Mapping[str, str], path: Path) -> None:
    there = roles.keys() - {"alpha"}
    if not any(there >= needed and there <= needed | more for needed, more in WHOLE):
        raise ModelError(
            f"{path} holds {', '.join(shown(name) for name in sorted(roles.values()))} of one "
            "layer, expected both halves of an adapter (A and B, or down and up) or both factors "
            "of LoKr, and no others beside them; copy or download it again"
        )


def _check(name: str, tensor: Tensor, path: Path) -> None:
    if not (tensor.is_floating_point() or name.endswith(".alpha")):
        raise ModelError(
            f"{path} holds {shown(name)} in {str(tensor.dtype).removeprefix('torch.')}, expected "
            "floating-point numbers: quantized adapters are not read; give those they were made of"
        )
    if not bool(torch.isfinite(tensor.float()).all()):
        raise ModelError(
            f"{path} holds NaN or infinity ({shown(name)}); the training diverged or the file is "
            "damaged: take an earlier checkpoint, or copy it again"
        )

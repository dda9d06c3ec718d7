"""The parts of a model: what each is, how large, and which weight files it was read from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from torch import nn

Role = Literal["network", "vae", "text encoder", "tokenizer", "scheduler", "adapters"]

ROLES: dict[str, Role] = {  # how diffusers begins the names of components; others are networks
    "vae": "vae",
    "vqvae": "vae",
    "text_encoder": "text encoder",
    "tokenizer": "tokenizer",
    "scheduler": "scheduler",
}
ADAPTER = re.compile("lora_|lokr_")  # a parameter of an adapter, and not of the network


@dataclass(frozen=True)
class Part:
    """A part of a model that was read, and what it is called by its library.

    `parameters` and `dtype` are those of a network, without adapters that were put into it; null
    for what has no weights. `bytes`: how large its weight files are, by their names in `weights` or
    `adapters` of the provenance.
    """

    role: Role
    class_name: str
    parameters: int | None = None
    dtype: str | None = None
    bytes: dict[str, int] = field(default_factory=dict)


def parts_of(
    components: Mapping[str, Any], files: Mapping[str, Mapping[str, Path]]
) -> dict[str, Part]:
    """Describe the components of a pipeline that are there; `files` are by component and name."""
    return {
        name: part_of(name, component, files.get(name, {}))
        for name, component in components.items()
        if component is not None
    }


def part_of(name: str, component: Any, files: Mapping[str, Path]) -> Part:
    """Describe one component, with its weight files by the names that the provenance has."""
    named = (role for start, role in ROLES.items() if name.startswith(start))
    role: Role = next(named, "network")
    kind = type(component).__name__
    if not isinstance(component, nn.Module):
        return Part(role, kind)
    own = [one for key, one in component.named_parameters() if not ADAPTER.search(key)]
    return _with_weights(role, kind, own, files)


def numbers_of_adapters(network: nn.Module) -> int:
    """How many numbers the adapters in a network hold."""
    return sum(one.numel() for key, one in network.named_parameters() if ADAPTER.search(key))


def adapters_in(components: Mapping[str, Any], file: Path) -> Part:
    """Describe the LoRA adapters that were put into networks, all from one file."""
    found = {
        f"{name}.{key}": one
        for name, component in components.items()
        if isinstance(component, nn.Module)
        for key, one in component.named_parameters()
        if ADAPTER.search(key)
    }
    return _with_weights("adapters", _called(found), list(found.values()), {file.name: file})


def _called(found: Mapping[str, nn.Parameter]) -> str:
    """Which kinds of adapters these are, and of which ranks."""
    kinds = ["LoKr"] if any("lokr_" in key for key in found) else []
    ranks = sorted({one.shape[0] for key, one in found.items() if "lora_A." in key})
    if ranks:
        name = "DoRA" if any("lora_magnitude" in key for key in found) else "LoRA"
        many = f"ranks {ranks[0]} to {ranks[-1]}" if len(ranks) > 1 else f"rank {ranks[0]}"
        kinds.insert(0, f"{name} of {many}")
    return " and ".join(kinds)


def _with_weights(
    role: Role, kind: str, own: list[nn.Parameter], files: Mapping[str, Path]
) -> Part:
    return Part(
        role=role,
        class_name=kind,
        parameters=sum(one.numel() for one in own),
        dtype=", ".join(sorted({str(one.dtype).removeprefix("torch.") for one in own})) or None,
        bytes={key: path.stat().st_size for key, path in files.items()},
    )

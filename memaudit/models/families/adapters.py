"""Files of LoRA adapters, whatever they are called and whoever wrote them, in one form."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from memaudit.errors import ModelError
from memaudit.foreign import parse_json, refusing
from memaudit.models.locate import read_json
from memaudit.models.names import bare, bare_names
from memaudit.models.weights import tensors_in

ADAPTERS = "pytorch_lora_weights.safetensors"  # what diffusers calls them
OF_PEFT = "adapter_config.json"  # what peft writes beside them
METADATA = "lora_adapter_metadata"  # what diffusers writes into the file: the same, by network
LORA = re.compile(r"lora_[AB]\.|_?lora\.(down|up)\.|lora_(down|up)\.|\.alpha$")
UP = re.compile(r"^(?P<network>[^.]+)\.(?P<module>.+)\.lora_B\.")
PLACED = re.compile(r"^(unet\.|text_encoder(_2)?\.|lora_(unet|te|te1|te2)_)")
UNWRAPPED = "base_model.model."  # how peft begins the names of a network by itself
NETWORKS = {  # the first part of a name, where the network is not said
    **dict.fromkeys(
        (
            *("down_blocks", "mid_block", "up_blocks", "conv_in", "conv_out", "time_embedding"),
            "add_embedding",
        ),
        "unet",
    ),
    **dict.fromkeys(("text_model", "text_projection"), "text_encoder"),
}
RANK = 4096  # the largest
FACTOR = 1e4  # the largest scale of an adapter


def holds_adapters(path: Path) -> bool:
    """Whether a .safetensors file holds LoRA adapters, whole or not; no tensor is read."""
    if path.name == ADAPTERS:
        return path.is_file()
    try:
        return any(LORA.search(name) for name in tensors_in(path))
    except ModelError:
        return False


def find_adapters(place: Path) -> list[Path]:
    """The files of adapters at a place: itself, or those of a folder."""
    if place.is_file():
        return [place] * holds_adapters(place)
    if (place / ADAPTERS).is_file():
        return [place / ADAPTERS]
    found = (path for path in sorted(place.glob("*.safetensors")) if path.is_file())
    return [path for path in found if holds_adapters(path)]


def read_adapters(path: Path) -> dict[str, Tensor]:
    """Read adapters: every name begins with its network, and no scale is left but in the tensors.

    What a file says of modules and ranks are patterns and numbers of another's making: of these
    only the scale is read. Raises ModelError.
    """
    names = tensors_in(path)
    strange = [name for name in names if not LORA.search(name)]
    if strange or not names:
        raise ModelError(
            f"{path} holds {strange[0] if strange else 'nothing'}, expected LoRA adapters alone: "
            "other kinds (LoHa, LoKr, DoRA, ...) are not read; merge them into their model"
        )
    with refusing(ModelError, f"{path} cannot be read"):
        tensors = load_file(path)
    found = bare_names({path: names})[path]
    placed = {_placed(found[name], path): tensor for name, tensor in tensors.items()}
    said = _said(path)
    return {name: tensor * _scale(name, tensor, said, path) for name, tensor in placed.items()}


def _placed(name: str, path: Path) -> str:
    """A name that begins with its network."""
    name = name.removeprefix(UNWRAPPED)
    if PLACED.match(name):
        return name
    network = NETWORKS.get(name.split(".")[0])
    if network is None:
        raise ModelError(
            f"{path} holds an adapter of {name}, expected those of a UNet (unet., lora_unet_, "
            "down_blocks., ...) or of text encoders; adapters of other networks are not read"
        )
    return f"{network}.{name}"


def _said(path: Path) -> dict[str, Any]:
    """What is said of the adapters' scale, by "network.field"; fields of peft alone are of all."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
    if METADATA in metadata:
        with refusing(ModelError, f"the metadata of {path} cannot be read"):
            said = parse_json(metadata[METADATA].encode())
        if not isinstance(said, dict):
            raise ModelError(f"the metadata of {path} hold no object; copy it again")
        return said
    beside = path.with_name(OF_PEFT)
    return read_json(beside) if beside.is_file() else {}


def _scale(name: str, tensor: Tensor, said: Mapping[str, Any], path: Path) -> float:
    """What an adapter's second half is multiplied by: alpha over the rank, by which it was made."""
    up = UP.match(name)
    if up is None or not said:
        return 1.0
    network, module = up["network"], up["module"]

    def get(field: str) -> Any:
        return said.get(f"{network}.{field}", said.get(field))

    rank = tensor.shape[1]
    alpha, patterns = get("lora_alpha"), get("alpha_pattern")
    for pattern, own in (patterns if isinstance(patterns, dict) else {}).items():
        # It is a name, though peft takes it for an expression.
        if f".{module}".endswith(f".{bare(pattern)}"):
            alpha = own
    alpha = rank if alpha is None else alpha
    known = isinstance(alpha, int | float) and not isinstance(alpha, bool)
    if not known or rank > RANK or not 0 < alpha <= FACTOR * rank:
        raise ModelError(
            f"{path} gives the adapter of {module} rank {rank} and lora_alpha {alpha!r}, expected "
            f"a rank up to {RANK} and a number above 0 up to {FACTOR:g} times that"
        )
    return float(alpha) / (math.sqrt(rank) if get("use_rslora") is True else rank)

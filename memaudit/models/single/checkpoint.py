"""A file that holds a whole model, or a part of one: what its header says, and its tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from memaudit.errors import ModelError
from memaudit.foreign import refusing
from memaudit.models.single.gguf_file import GgufFile, is_gguf
from memaudit.models.single.stored import Reader, Stored
from memaudit.models.weights import PICKLED, shards, tensors_in

INDEX = ".safetensors.index.json"  # ends the name of what says which shard holds which tensor
SHARD = re.compile(r"(?P<stem>.+-)\d{5}(?P<of>-of-(?P<count>\d{5})\.safetensors)")
SCALE = ".scale_weight"  # what an fp8 tensor is to be multiplied by, a number
FP8 = {"F8_E4M3", "F8_E5M2"}
WIDER = torch.bfloat16  # holds every number of either fp8 format


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """One file, or the shards of one: `tensors` by name, `metadata` as the header gives it."""

    place: Path
    files: tuple[Path, ...]
    tensors: Mapping[str, Stored]
    metadata: Mapping[str, str]
    readers: Mapping[str, Reader]  # by the name of a tensor

    def read(self, names: Mapping[str, str]) -> dict[str, Tensor]:
        """Tensors under other names: `names` says which of the file stands for each."""
        with refusing(ModelError, f"{self.place} cannot be read"):
            return {name: self._read(source) for name, source in names.items()}

    def _read(self, name: str) -> Tensor:
        tensor = self.readers[name].tensor(name)
        scale = name.removesuffix(".weight") + SCALE
        if self.tensors[name].format not in FP8:
            return tensor
        if scale not in self.tensors:
            return tensor.to(WIDER)
        return tensor.float() * self.readers[scale].tensor(scale).float()


def open_checkpoint(place: Path) -> Checkpoint:
    """Read what stands in the header of a file; raises ModelError for a pickle and for damage."""
    _refuse_others(place)
    files = _files(place)
    readers: dict[str, Reader] = {}
    tensors: dict[str, Stored] = {}
    metadata: dict[str, str] = {}
    for path in files:
        reader: Reader = GgufFile(path) if is_gguf(path) else SafetensorsFile(path)
        stored = reader.stored()
        twice = next(iter(stored.keys() & tensors.keys()), None)
        if twice is not None:
            raise ModelError(f"{path} holds {twice}, and another shard does, too; copy them again")
        tensors |= stored
        readers |= dict.fromkeys(stored, reader)
        metadata |= reader.metadata
    return Checkpoint(place, files, tensors, metadata, readers)


class SafetensorsFile:
    """A .safetensors file."""

    def __init__(self, path: Path) -> None:
        tensors_in(path)  # refuses a file that is not whole
        opener: Any = safe_open  # which has no types
        self._file = opener(path, framework="pt")
        self.metadata: Mapping[str, str] = self._file.metadata() or {}

    def stored(self) -> dict[str, Stored]:
        """What its header says."""
        slices = {name: self._file.get_slice(name) for name in self._file.keys()}  # noqa: SIM118
        return {
            name: Stored(tuple(each.get_shape()), str(each.get_dtype()))
            for name, each in slices.items()
        }

    def tensor(self, name: str) -> Tensor:
        """One tensor, as it stands there."""
        tensor: Tensor = self._file.get_tensor(name)
        return tensor


def _files(place: Path) -> tuple[Path, ...]:
    """The file itself, or all shards of which it is one, or which it is the index of."""
    if place.name.endswith(INDEX):
        return tuple(shards(place))
    match = SHARD.fullmatch(place.name)
    if match is None:
        return (place,)
    count = int(match["count"])
    files = [place.with_name(f"{match['stem']}{k:05d}{match['of']}") for k in range(1, count + 1)]
    missing = [path.name for path in files if not path.is_file()]
    if missing:
        raise ModelError(
            f"{place} is one of {count} shards, and {missing[0]} is not beside it; copy or "
            "download all of them"
        )
    return tuple(files)


def _refuse_others(place: Path) -> None:
    """Raise ModelError for a file that is neither .safetensors, their index, nor GGUF."""
    if any(place.match(pattern) for pattern in PICKLED):
        raise ModelError(
            f"{place} is a pickle, which can run any code, so it is never loaded; make a "
            f".safetensors file of it: memaudit convert {place} {place.with_suffix('.safetensors')}"
        )
    if (
        place.suffix.lower() != ".safetensors"
        and not place.name.endswith(INDEX)
        and not is_gguf(place)
    ):
        raise ModelError(
            f"{place} is a file; give the folder of a diffusers model (model_index.json with its "
            "sub-folders, or config.json with its .safetensors), a model in one .safetensors or "
            ".gguf file, or a file of LoRA adapters"
        )

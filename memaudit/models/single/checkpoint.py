"""A file that holds a whole model, or a part of one: what its header says, and its tensors."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from memaudit.errors import ModelError
from memaudit.foreign import refusing
from memaudit.models.names import bare_names
from memaudit.models.single.gguf_file import GgufFile, is_gguf
from memaudit.models.single.stored import Reader, Stored
from memaudit.models.weights import PICKLED, shards, tensors_in

SUFFIX = ".safetensors"
INDEX = f"{SUFFIX}.index.json"  # ends the name of what says which shard holds which tensor
SHARD = re.compile(r"(?P<stem>.+-)\d{5}(?P<of>-of-(?P<count>\d{5})\.safetensors)")
SCALE = ".scale_weight"  # what an fp8 tensor is to be multiplied by, a number
FP8 = {"F8_E4M3", "F8_E5M2"}
WIDER = torch.bfloat16  # holds every number of either fp8 format


@dataclass(frozen=True, eq=False)
class Source:
    """Where a tensor stands: in which file, and under which name, wrappers and all."""

    path: Path
    reader: Reader
    name: str


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """One file, or the shards of one: `tensors` by their names without wrappers.

    `metadata` is what headers say beside them, and `sources` where each tensor stands.
    """

    place: Path
    files: tuple[Path, ...]
    tensors: Mapping[str, Stored]
    metadata: Mapping[str, str]
    sources: Mapping[str, Source]

    def read(self, names: Mapping[str, str]) -> dict[str, Tensor]:
        """Tensors under other names: `names` says which of the file stands for each."""
        with refusing(ModelError, f"{self.place} cannot be read"):
            return {name: self._read(source) for name, source in names.items()}

    def _read(self, name: str) -> Tensor:
        tensor = self._stored(name)
        if self.tensors[name].format not in FP8:
            return tensor
        scale = name.removesuffix(".weight") + SCALE
        if scale not in self.tensors:
            return tensor.to(WIDER)
        return tensor.float() * self._stored(scale).float()

    def _stored(self, name: str) -> Tensor:
        source = self.sources[name]
        return source.reader.tensor(source.name)


def open_checkpoint(place: Path) -> Checkpoint:
    """Read what stands in the header of a file; raises ModelError for a pickle and for damage."""
    _refuse_others(place)
    files = _files(place)
    readers: dict[Path, Reader] = {
        path: GgufFile(path) if is_gguf(path) else SafetensorsFile(path) for path in files
    }
    stored = {path: reader.stored() for path, reader in readers.items()}
    tensors: dict[str, Stored] = {}
    sources: dict[str, Source] = {}
    for path, names in bare_names({path: [*held] for path, held in stored.items()}).items():
        for name, bare in names.items():
            if bare in tensors:
                raise ModelError(
                    f"{path} holds {bare}, and another shard does, too; copy them again"
                )
            tensors[bare] = stored[path][name]
            sources[bare] = Source(path, readers[path], name)
    metadata = {key: said for one in readers.values() for key, said in one.metadata.items()}
    return Checkpoint(place, files, tensors, metadata, sources)


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
            name: _stored(tuple(each.get_shape()), str(each.get_dtype()))
            for name, each in slices.items()
        }

    def tensor(self, name: str) -> Tensor:
        """One tensor, as it stands there."""
        tensor: Tensor = self._file.get_tensor(name)
        return tensor


def _stored(shape: tuple[int, ...], kind: str) -> Stored:
    """A tensor in a number format whose name says its bits; a truth value takes eight."""
    bits = re.search(r"\d+", kind)
    return Stored(shape, kind, math.prod(shape) * int(bits[0] if bits else 8) // 8)


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
        command = ("memaudit", "convert", str(place), str(place.with_suffix(SUFFIX)))
        raise ModelError(
            f"{place} is a pickle, which can run any code, so it is never loaded. Convert it, and "
            f"give the result as MODEL: {shlex.join(command)}"
        )
    known = place.suffix.lower() == SUFFIX or place.name.endswith(INDEX) or is_gguf(place)
    if not known:
        raise ModelError(
            f"{place} is a file; give the folder of a diffusers model (model_index.json with its "
            "sub-folders, or config.json with its .safetensors), a model in one .safetensors or "
            ".gguf file, or a file of LoRA adapters"
        )

"""Tensors as safetensors holds them: dense, whole, each with memory of its own."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from memaudit.convert.containers import short
from memaudit.errors import ModelError

SPARE = 1 << 20  # bytes
RESERVED = "__metadata__"  # of the header of a .safetensors file


def whole(tensors: Mapping[str, Tensor], held: int) -> dict[str, Tensor]:
    """Make tensors fit to be written; those that share memory become copies.

    `held` is the size of the file they come from, in bytes: views that repeat its numbers over and
    over are refused before they take memory. Raises ModelError with the name of the tensor.
    """
    plain = {name: _plain(name, tensor) for name, tensor in tensors.items()}
    asked = sum(tensor.numel() * tensor.itemsize for tensor in plain.values())
    if asked > 2 * held + SPARE:
        largest = max(plain, key=lambda name: plain[name].numel() * plain[name].itemsize)
        raise ModelError(
            f"its tensors would take {asked} bytes, and the file has {held}: {short(largest)} "
            "repeats the same numbers, as weights do not"
        )
    seen: set[int] = set()
    return {name: _alone(tensor, seen) for name, tensor in plain.items()}


def _plain(name: str, tensor: Tensor) -> Tensor:
    """The tensor without what was hung onto it; refuse what is no dense array of numbers."""
    # Of the class itself: what was unpickled may hide methods behind attributes of its own.
    detached = Tensor.detach(tensor)
    if name == RESERVED or not _encodable(name):
        raise ModelError(f"the name {short(name)!r} of a tensor is none that safetensors can hold")
    if detached.is_quantized or detached.layout != torch.strided or detached.is_nested:
        kind = "quantized" if detached.is_quantized else "sparse or nested"
        raise ModelError(f"{short(name)} is {kind}, expected dense numbers: make it dense first")
    if detached.is_meta:
        raise ModelError(f"{short(name)} has a shape and no numbers (it is on the meta device)")
    if not _fits(detached.dtype):
        raise ModelError(
            f"{short(name)} is of {detached.dtype}, for which .safetensors files have no place"
        )
    return detached.resolve_conj().resolve_neg()


def _alone(tensor: Tensor, seen: set[int]) -> Tensor:
    """A contiguous tensor whose memory no earlier one has."""
    made = tensor.contiguous()
    place = made.untyped_storage().data_ptr()
    if place and place in seen:
        made = made.clone()
    seen.add(made.untyped_storage().data_ptr())
    return made


def _encodable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


@cache
def _fits(dtype: torch.dtype) -> bool:
    """Whether safetensors writes a dtype and reads it again."""
    try:
        return load(save({"": torch.empty(1, dtype=dtype)}))[""].dtype == dtype
    except (KeyError, ValueError, RuntimeError, SafetensorError):
        return False

"""Adapters out of the tensors of a file: of shapes that fit each other, with their scale inside."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from memaudit.errors import ModelError
from memaudit.models.lora.adapter import RANK, Adapter
from memaudit.models.lora.scale import Said, checked
from memaudit.text import shown

SIDE = 1 << 24  # outputs of a layer, or inputs
NUMBERS = 1 << 28  # in what is made of several tensors


def adapter_of(
    layer: str, names: Mapping[str, str], tensors: Mapping[str, Tensor], said: Said
) -> Adapter:
    """The adapter that these tensors make, by role; raises ModelError for those that do not fit."""
    found = Adapter(layer, {role: one.float() for role, one in tensors.items()}, names)
    if _by_columns(found.tensors):
        raise ModelError(
            f"{said.path} holds a DoRA of {shown(layer)} that scales columns (dora_scale "
            f"{list(found.tensors['dora_scale'].shape)}), expected one of rows, [out, 1]; merge it "
            "into its model with the tool that trained it"
        )
    fits = _lokr_fits(found.tensors) if found.kind == "LoKr" else _lora_fits(found.tensors)
    if not fits or max(found.rows, found.inputs) > SIDE:
        raise ModelError(
            f"{said.path} holds an adapter of {shown(layer)} with {found.described()}, whose "
            f"shapes do not fit each other; expected halves [r, in] and [out, r], r up to {RANK}, "
            "or factors of LoKr; copy or download it again"
        )
    return _lokr(found, said) if found.kind == "LoKr" else _lora(found, said)


def _by_columns(tensors: Mapping[str, Tensor]) -> bool:
    """Whether lengths are those of columns, which is another formula, even if in and out agree."""
    scale = tensors.get("dora_scale")
    return scale is not None and scale.dim() > 1 and scale.shape[0] == 1 < scale.numel()


def _lora_fits(tensors: Mapping[str, Tensor]) -> bool:
    down, up, mid = (tensors.get(role) for role in ("down", "up", "mid"))
    if down is None or up is None or not (down.dim() in (2, 4) and up.dim() in (2, 4)):
        return False
    if mid is not None and not _mid_fits(mid, down):
        return False
    rank, inner = up.shape[1], len(down if mid is None else mid)
    roles = tensors.keys() & {"bias", "magnitude", "dora_scale"}
    fits = all(tensors[role].numel() == len(up) for role in roles) and set(up.shape[2:]) <= {1}
    fits = fits and not roles >= {"magnitude", "dora_scale"}
    return fits and 0 < rank <= RANK and rank == inner and min(down.shape) > 0 < len(up)


def _mid_fits(mid: Tensor, down: Tensor) -> bool:
    """Whether a core fits the half before it, which has no kernel of its own."""
    if mid.dim() != 4 or mid.shape[1] != len(down) or not set(down.shape[2:]) <= {1}:
        return False
    rank, _, *kernel = mid.shape
    return rank * down.shape[1] * math.prod(kernel) <= NUMBERS


def _lokr_fits(tensors: Mapping[str, Tensor]) -> bool:
    for name in ("lokr_w1", "lokr_w2"):
        left, right = tensors.get(f"{name}_a"), tensors.get(f"{name}_b")
        whole = tensors.get(name)
        if whole is not None:
            fits = whole.dim() == 2 or (name == "lokr_w2" and whole.dim() == 4)
        elif name == "lokr_w2" and "lokr_t2" in tensors:
            fits = _tucker_fits(tensors["lokr_t2"], left, right)
        else:
            fits = _product_fits(left, right)
        if not fits or any(one is not None and one.numel() == 0 for one in (whole, left, right)):
            return False
    return True


def _product_fits(left: Tensor | None, right: Tensor | None) -> bool:
    if left is None or right is None or left.dim() != 2 or right.dim() != 2:
        return False
    return left.shape[1] == right.shape[0] <= RANK


def _tucker_fits(core: Tensor, left: Tensor | None, right: Tensor | None) -> bool:
    if left is None or right is None or core.dim() != 4 or not left.dim() == right.dim() == 2:
        return False
    return max(core.shape[:2]) <= RANK and core.shape[:2] == (left.shape[0], right.shape[0])


def _lora(found: Adapter, said: Said) -> Adapter:
    """Down [r, in, ...], up [out, r], vectors [out]; `mid` is folded into `down`."""
    tensors = dict(found.tensors)
    alpha, mid = tensors.pop("alpha", None), tensors.pop("mid", None)
    if mid is not None:
        tensors["down"] = torch.einsum("ab...,bi->ai...", mid, tensors["down"].flatten(1))
    rank = int(tensors["up"].shape[1])
    scale = _scale(found, alpha, rank, said)
    made = {"down": tensors["down"], "up": tensors["up"].flatten(1) * scale}
    if "bias" in tensors:
        made["bias"] = tensors["bias"].flatten() * scale
    for role in ("magnitude", "dora_scale"):
        if role in tensors:
            made["magnitude"] = tensors[role].flatten()
    return Adapter(found.layer, made, found.names)


def _lokr(found: Adapter, said: Said) -> Adapter:
    """The scale goes into the first factor; of two that are whole, alpha is not heeded."""
    tensors = dict(found.tensors)
    alpha = tensors.pop("alpha", None)
    right = tensors.get("lokr_w2_b", tensors.get("lokr_w1_b"))
    if right is None:
        alpha = None
    rank = RANK if right is None else len(right)
    first = "lokr_w1" if "lokr_w1" in tensors else "lokr_w1_a"
    tensors[first] = tensors[first] * _scale(found, alpha, rank, said)
    return Adapter(found.layer, tensors, found.names)


def _scale(found: Adapter, alpha: Tensor | None, rank: int, said: Said) -> float:
    if alpha is None:
        return said.of(found.layer, rank, found.kind)
    if alpha.numel() != 1:
        raise _no_number(found, alpha, said.path)
    return checked(float(alpha), rank, found.layer, said.path)


def _no_number(found: Adapter, alpha: Tensor, path: Path) -> ModelError:
    return ModelError(
        f"{path} gives {shown(found.names['alpha'])} {alpha.numel()} numbers, expected one; "
        "copy or download it again"
    )

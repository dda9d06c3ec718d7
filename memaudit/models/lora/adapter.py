"""The change that a file of adapters makes to one layer, whatever its layout was."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

RANK = 4096  # the largest


@dataclass(frozen=True, eq=False)
class Adapter:
    """The change of a layer, in float32, with its scale in its tensors.

    LoRA (Hu et al. 2021, arXiv 2106.09685; convolutions as LyCORIS has them) is `up` [out, r] times
    `down` [r, in, ...], with a `bias` [out] where it was trained, and with `magnitude` [out] it is
    DoRA (Liu et al. 2024, arXiv 2402.09353). LoKr is the Kronecker product of `lokr_w1` and
    `lokr_w2` (Yeh et al. 2023, arXiv 2309.14859), each whole or of two factors. `layer` is its name
    in the file, `tensors` by role, `names` those of the file by role.
    """

    layer: str
    tensors: Mapping[str, Tensor]
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """LoRA, DoRA or LoKr."""
        if "up" not in self.tensors:
            return "LoKr"
        return "DoRA" if "magnitude" in self.tensors else "LoRA"

    @property
    def rows(self) -> int:
        """How many outputs the layer has."""
        if "up" in self.tensors:
            return len(self.tensors["up"])
        return self._sides("lokr_w1")[0] * self._sides("lokr_w2")[0]

    @property
    def columns(self) -> tuple[int, ...]:
        """The inputs of the layer, with its kernel if that is known."""
        if "up" in self.tensors:
            return tuple(self.tensors["down"].shape[1:])
        _, width, *kernel = self._sides("lokr_w2")
        return (self._sides("lokr_w1")[1] * width, *kernel)

    def _sides(self, name: str) -> tuple[int, ...]:
        """The shape of a factor of LoKr, which may be far larger than what it is made of."""
        if name in self.tensors:
            return tuple(self.tensors[name].shape)
        left, right = self.tensors[f"{name}_a"], self.tensors[f"{name}_b"]
        core = self.tensors.get("lokr_t2") if name == "lokr_w2" else None
        if core is not None:
            return left.shape[1], right.shape[1], *core.shape[2:]
        return left.shape[0], right.shape[1]

    @property
    def rank(self) -> int:
        """The rank of LoRA."""
        return int(self.tensors["up"].shape[1])

    @property
    def idle(self) -> bool:
        """Whether it changes nothing: a half or a factor of it is zero."""
        if self.kind == "LoKr":
            return not all(bool(each.any()) for each in self.tensors.values())
        if "magnitude" in self.tensors or bool(self.tensors.get("bias", torch.zeros(1)).any()):
            return False
        return not (self.tensors["up"].any() and self.tensors["down"].any())

    def described(self) -> str:
        """The shapes of its tensors, for messages."""
        return ", ".join(f"{role} {list(one.shape)}" for role, one in self.tensors.items())

    @property
    def inputs(self) -> int:
        """How many numbers one output is made of."""
        return math.prod(self.columns)


def factors(tensors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Both matrices of LoKr, whole; the second may have the kernel of a convolution."""
    return _factor(tensors, "lokr_w1"), _factor(tensors, "lokr_w2", tensors.get("lokr_t2"))


def _factor(tensors: Mapping[str, Tensor], name: str, core: Tensor | None = None) -> Tensor:
    whole = tensors.get(name)
    if whole is not None:
        return whole
    left, right = tensors[f"{name}_a"], tensors[f"{name}_b"]
    return left @ right if core is None else torch.einsum("ij...,io,jn->on...", core, left, right)

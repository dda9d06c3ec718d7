"""Whether a layer of peft computes what the tensors of a file say, whatever version peft is of."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from memaudit.errors import ModelError
from memaudit.models.lora.adapter import factors
from memaudit.models.lora.fitted import Fitted
from memaudit.text import shown

ROUNDINGS = 32  # of an answer that a layer may be off by
SEED = 0


@torch.no_grad()
def expect_as_written(layer: Any, one: Fitted, what: str) -> None:
    """Ask a layer with its adapter and without, and hold the difference to the file's tensors.

    An adapter that is there and idle, or of another scale, is found so. Raises ModelError.
    """
    base = layer.get_base_layer()
    x = _input(base)
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # which rounds far more
        without = base(x).float()
        found = layer(x).float() - without
        expected = _change(base, one, x.float())
    size = torch.finfo(base.weight.dtype).eps * (without.norm() + expected.norm())
    if bool((found - expected).norm() > ROUNDINGS * size):
        raise ModelError(
            f"{what} are not computed as they are written: that of {shown(one.adapter.layer)} "
            "changes its layer by another amount, expected that of its tensors; install another "
            "version of peft, or merge them into their model with the tool that trained them"
        )


def _input(base: nn.Module) -> Tensor:
    """Noise that a layer takes: one row, or as many cells as its kernel has."""
    weight: Any = base.weight
    shape = (1, *weight.shape[1:])
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(SEED))
    return noise.to(weight.device, weight.dtype)


def _change(base: Any, one: Fitted, x: Tensor) -> Tensor:
    """What an adapter adds to the answer of its layer, in float32."""
    tensors = {role: tensor.to(x.device) for role, tensor in one.tensors.items()}
    if one.adapter.kind == "LoKr":
        return _applied(base, _product(tensors).reshape(base.weight.shape), x)
    if one.adapter.kind == "DoRA":
        old = base.weight.float()
        whole = old.flatten(1) + tensors["up"].flatten(1) @ tensors["down"].flatten(1)
        length = tensors["magnitude"][:, None] / whole.norm(dim=1, keepdim=True)
        return _applied(base, (length * whole).view_as(old) - old, x)
    answer = _applied(base, tensors["down"], x)
    if isinstance(base, nn.Conv2d):
        return functional.conv2d(answer, tensors["up"], tensors.get("bias"))
    return functional.linear(answer, tensors["up"], tensors.get("bias"))


def _product(tensors: dict[str, Tensor]) -> Tensor:
    """The Kronecker product of the factors."""
    w1, w2 = factors(tensors)
    return torch.kron(w1.view(*w1.shape, *[1] * (w2.dim() - 2)), w2.contiguous())


def _applied(base: Any, weight: Tensor, x: Tensor) -> Tensor:
    """A layer with other weights and no bias."""
    if isinstance(base, nn.Conv2d):
        return functional.conv2d(x, weight, stride=base.stride, padding=base.padding)
    return functional.linear(x, weight)

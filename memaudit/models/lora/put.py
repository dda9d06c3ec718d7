"""Put adapters into the networks of a pipeline, as layers of peft that hold their tensors."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from peft import LoKrConfig, LoraConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from memaudit.errors import ModelError
from memaudit.models.lora.fitted import Fitted
from memaudit.models.lora.proof import expect_as_written
from memaudit.text import shown

NAME = "file"  # begins what peft calls the adapters
MODULES = {"down": "lora_A", "up": "lora_B", "magnitude": "lora_magnitude_vector"}


def put(adapters: Sequence[Fitted], network: nn.Module, what: str) -> None:
    """Put adapters of one part into it; raises ModelError for those that peft has no layer for.

    Layers are made by peft for rank 1 and scale 1 and get the tensors afterwards, in the dtype of
    the network, so that no number of a file is taken for one of peft's.
    """
    kinds: dict[tuple[str, bool], list[Fitted]] = {}
    for one in adapters:
        kinds.setdefault((one.adapter.kind, "bias" in one.tensors), []).append(one)
    for number, some in enumerate(kinds.values()):
        _put(some, network, f"{NAME}_{number}", what)
    for number, some in enumerate(kinds.values()):  # peft keeps those active that came last
        for one in some:
            layer: Any = network.get_submodule(one.layer)
            layer.set_adapter(f"{NAME}_{number}")
    network.requires_grad_(False).eval()
    for one in adapters:
        expect_as_written(network.get_submodule(one.layer), one, what)


def _put(adapters: Sequence[Fitted], network: nn.Module, name: str, what: str) -> None:
    """Those that one configuration of peft is for."""
    first = adapters[0]
    config = (
        LoKrConfig(r=1, alpha=1)
        if first.adapter.kind == "LoKr"
        else LoraConfig(
            r=1,
            lora_alpha=1,
            use_dora=first.adapter.kind == "DoRA",
            lora_bias="bias" in first.tensors,
        )
    )
    config.target_modules = {one.layer for one in adapters}
    ending = "lokr_w1" if first.adapter.kind == "LoKr" else "lora_A.weight"
    names = {f"{one.layer}.{ending}": torch.empty(0) for one in adapters}
    with warnings.catch_warnings():  # that other layers have the same last names
        warnings.simplefilter("ignore")
        inject_adapter_in_model(config, network, name, state_dict=names)
    for one in adapters:
        layer: Any = network.get_submodule(one.layer)
        if not isinstance(layer, BaseTunerLayer):
            raise ModelError(
                f"{what} hold one of {shown(one.layer)}, which peft put none into; merge them into "
                "their model with the tool that trained them"
            )
        _fill(layer, one, name, what)


def _fill(layer: Any, one: Fitted, name: str, what: str) -> None:
    """Give a layer of peft its tensors."""
    of = layer.get_base_layer().weight
    tensors = {role: each.to(of.device, of.dtype) for role, each in one.tensors.items()}
    if not all(bool(torch.isfinite(each).all()) for each in tensors.values()):
        raise ModelError(
            f"{what} hold numbers in that of {shown(one.layer)} that are too large for "
            f"{str(of.dtype).removeprefix('torch.')}; take --dtype float32"
        )
    if one.adapter.kind == "LoKr":
        for role in layer.adapter_layer_names:
            getattr(layer, role).pop(name) if name in getattr(layer, role) else None
        for role, tensor in tensors.items():
            getattr(layer, role)[name] = nn.Parameter(tensor)
        return
    bias = tensors.pop("bias", None)
    for role, tensor in tensors.items():
        module = getattr(layer, MODULES[role])[name]
        module.weight = nn.Parameter(_like(module.weight, tensor, role))
    if bias is not None:
        layer.lora_B[name].bias = nn.Parameter(bias)
    layer.r[name] = one.adapter.rank


def _like(made: Tensor, tensor: Tensor, role: str) -> Tensor:
    """A magnitude has the shape that peft gives it, [out] or [1, out, 1, 1]."""
    return tensor.reshape(made.shape) if role == "magnitude" else tensor.contiguous()

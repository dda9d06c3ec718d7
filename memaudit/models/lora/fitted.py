"""Adapters in the shapes of the layers that they change, each layer changed once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers.models.attention import AttentionModuleMixin
from torch import Tensor

from memaudit.errors import ModelError
from memaudit.models.lora.adapter import Adapter
from memaudit.models.lora.places import Place, Places
from memaudit.text import shown

TRAINED_FOR = "--base-model must name the pipeline that they were trained for"
MISSES = 40  # adapters without a place, after which no more are looked for
FUSED: dict[tuple[str, ...], str] = {
    ("to_q", "to_k", "to_v"): "to_qkv",
    ("add_q_proj", "add_k_proj", "add_v_proj"): "to_added_qkv",
}
CONTROL = (
    "; a wider input is that of a model which is told a further image (Depth, Canny, Fill, ...), "
    "and these are not audited"
)


@dataclass(frozen=True, eq=False)
class Fitted:
    """What changes a layer of a part, its tensors in the shapes of that layer."""

    part: str
    layer: str
    adapter: Adapter
    tensors: Mapping[str, Tensor] = field(repr=False)

    @property
    def taken(self) -> list[tuple[str, str]]:
        """The layers whose work it changes: of a fused one, those that it does the work of."""
        above, _, name = self.layer.rpartition(".")
        names = next((own for own, whole in FUSED.items() if whole == name), None)
        layers = [self.layer] if names is None else [f"{above}.{one}" for one in names]
        return [(self.part, layer) for layer in layers]


def fit(adapters: Sequence[Adapter], places: Places, what: str) -> list[Fitted]:
    """Give each adapter its layers; raises ModelError if one has none, or a layer has two.

    `what` begins the messages: "the adapters in ..., put into ...".
    """
    found = _found(adapters, places, what)
    taken: dict[tuple[str, str], Fitted] = {}
    fitted = []
    for adapter, own in found:
        for one in _fitted(adapter, own, places, what):
            others = [taken[key] for key in one.taken if key in taken]
            if not others:
                fitted.append(one)
            elif not all(_same(one, other) for other in others):
                raise ModelError(
                    f"{what} hold two adapters of {shown(one.layer)}: {shown(adapter.layer)} and "
                    f"{shown(others[0].adapter.layer)}, which differ; expected one. The file mixes "
                    "the layouts of two trainings: give the one that is meant"
                )
            taken |= {key: one for key in one.taken if key not in taken}
    return fitted


def _found(
    adapters: Sequence[Adapter], places: Places, what: str
) -> list[tuple[Adapter, list[Place]]]:
    found: list[tuple[Adapter, list[Place]]] = []
    misses: list[tuple[Adapter, list[Place]]] = []
    for adapter in adapters:
        own = places.of(adapter)
        (found if own else misses).append((adapter, own))
        if len(misses) > MISSES:
            break
    if misses:
        there = sum(len(adapter.names) for adapter, _ in found)
        total = sum(len(adapter.names) for adapter in adapters)
        raise ModelError(
            f"{what} do not fit: {there} of {total} tensors have a place there"
            f"{', as far as was looked' * (len(misses) > MISSES)}, and {shown(misses[0][0].layer)} "
            f"has none; {TRAINED_FOR}. If they do: diffusers does not read this layout of that "
            "pipeline; merge them into their model with the tool that trained them"
        )
    return found


def _fitted(adapter: Adapter, own: Sequence[Place], places: Places, what: str) -> Iterator[Fitted]:
    meant = {place.part for place in own}
    if len(meant) > 1:
        meant = {
            part
            for part in meant
            if all(_fits(adapter, place, places) for place in own if place.part == part)
        }
    if len(meant) > 1:
        raise ModelError(
            f"{what} hold one of {shown(adapter.layer)}, which {' and '.join(sorted(meant))} have "
            "alike; expected names that begin with the part that is meant, as text_encoder. does"
        )
    own = [place for place in own if place.part in meant] or own
    if adapter.kind == "LoKr" and len(own) > 1:
        own = [_fuse(adapter, own, places, what)]
    for place in own:
        if not _fits(adapter, place, places):
            raise _misfit(adapter, place, places, what)
        yield _shaped(adapter, place, places)


def _fits(adapter: Adapter, place: Place, places: Places) -> bool:
    weight = places.module(place).weight
    rows = adapter.rows if place.rows is None else len(place.rows)
    if rows != weight.shape[0] or adapter.inputs != weight[0].numel():
        return False
    folded = adapter.kind == "LoKr" and len(adapter.columns) == 1  # the kernel is in the inputs
    return folded or _short(adapter.columns) == _short(weight.shape[1:])


def _short(columns: Sequence[int]) -> Sequence[int]:
    """Inputs, and a kernel if it is more than one cell."""
    return columns[:1] if set(columns[1:]) <= {1} else columns


def _misfit(adapter: Adapter, place: Place, places: Places, what: str) -> ModelError:
    weight = places.module(place).weight
    wider = adapter.inputs > weight[0].numel()
    return ModelError(
        f"{what} do not fit: that of {shown(adapter.layer)} changes {adapter.rows} outputs of "
        f"{'x'.join(map(str, adapter.columns))} inputs, and {shown(place.layer)} there has "
        f"{weight.shape[0]} of {'x'.join(map(str, weight.shape[1:]))}; {TRAINED_FOR}"
        f"{CONTROL * (wider and '.' not in place.layer)}"
    )


def _fuse(adapter: Adapter, own: Sequence[Place], places: Places, what: str) -> Place:
    """One layer for projections that a Kronecker product, which cannot be split, changes at once.

    As diffusers does for such files, where its attention computes with one.
    """
    name = own[0].layer.rpartition(".")[0]
    attention: Any = places.parts[own[0].part].get_submodule(name)
    whole = FUSED.get(tuple(place.layer.rpartition(".")[2] for place in own))
    can = isinstance(attention, AttentionModuleMixin) and attention._supports_qkv_fusion
    if whole is None or not can:
        raise ModelError(
            f"{what} hold a LoKr of {shown(adapter.layer)}, which is {len(own)} layers there "
            f"({', '.join(place.layer for place in own)}), and a Kronecker product cannot be "
            "split; merge it into its model with the tool that trained it"
        )
    attention.fuse_projections()
    return Place(own[0].part, f"{name}.{whole}")


def _shaped(adapter: Adapter, place: Place, places: Places) -> Fitted:
    """The tensors of an adapter as its layer needs them."""
    module: Any = places.module(place)
    shape = module.weight.shape[1:]
    tensors = dict(adapter.tensors)
    if adapter.kind == "LoKr":
        w2 = tensors.get("lokr_w2")
        if w2 is not None and len(shape) == 1:
            tensors["lokr_w2"] = w2.flatten(1)
        return Fitted(place.part, place.layer, adapter, tensors)
    rows = slice(None) if place.rows is None else place.rows
    for role in tensors.keys() - {"down"}:
        tensors[role] = tensors[role][rows]
    tensors["down"] = tensors["down"].reshape(-1, *shape)
    tensors["up"] = tensors["up"].reshape(*tensors["up"].shape, *[1] * (len(shape) - 1))
    return Fitted(place.part, place.layer, adapter, tensors)


def _same(one: Fitted, other: Fitted) -> bool:
    """Whether two adapters are the same: some tools write one twice, whole and split."""
    return one.tensors.keys() == other.tensors.keys() and all(
        tensor.shape == other.tensors[role].shape and torch.allclose(tensor, other.tensors[role])
        for role, tensor in one.tensors.items()
    )

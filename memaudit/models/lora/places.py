"""Where the adapters of a file go: which layers of which networks of a pipeline, row by row.

Names that differ from those of the layers only in how they are spelled are looked up. Others are
converted by diffusers, one adapter at a time, whose outputs are numbered for it: what comes back
tells where each of them went, whatever the conversion renames, splits or turns around, and one
that it forgets is missed. The numbers of the adapters themselves go through no conversion.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from diffusers.models.normalization import AdaLayerNormContinuous
from torch import Tensor, nn

from memaudit.models.latent_parts import quiet
from memaudit.models.lora.adapter import Adapter
from memaudit.models.lora.names import named
from memaudit.models.lora.originals import layers_of

NETWORK = ""  # stands for the network's own part, whatever it is called
BEGINNINGS = (  # of a layer's name, and the parts of the pipeline that have it
    (re.compile(r"(unet|transformer|(model\.)?diffusion_model)\."), (NETWORK,)),
    (re.compile(r"lora_(unet|transformer)_|lycoris_"), (NETWORK,)),
    (re.compile(r"text_encoder\.|lora_te1?_|text_encoders\.clip_l\."), ("text_encoder",)),
    (re.compile(r"text_encoder_2\.|lora_te2_|text_encoders\.clip_g\."), ("text_encoder_2",)),
    (
        re.compile(r"text_encoder_3\.|lora_te3_|text_encoders\.t5xxl\."),
        ("text_encoder_3", "text_encoder_2"),
    ),
)
WRAPPED = "base_model.model."  # how peft begins the names of a network by itself
OF_COMFY = "transformer."  # and ComfyUI those of a text encoder


@dataclass(frozen=True, eq=False)
class Place:
    """A layer of a part of a pipeline, and which outputs of an adapter are its own, in its order.

    Without `rows` all of them are.
    """

    part: str
    layer: str
    rows: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Places:
    """The layers of a pipeline that can be adapted: of its `network` and its text encoders."""

    pipeline: Any
    network: nn.Module

    @cached_property
    def parts(self) -> dict[str, nn.Module]:
        """The network first."""
        modules = {
            name: part
            for name, part in self.pipeline.components.items()
            if isinstance(part, nn.Module) and name.startswith("text_encoder")
        }
        own = next(n for n, part in self.pipeline.components.items() if part is self.network)
        return {own: self.network, **modules}

    @cached_property
    def _layers(self) -> dict[str, dict[str, str]]:
        """The names of layers by what they are without dots, for each part."""
        return {
            part: {_flat(name): name for name, one in module.named_modules() if _adaptable(one)}
            for part, module in self.parts.items()
        }

    def module(self, place: Place) -> Any:
        """The layer at a place."""
        return self.parts[place.part].get_submodule(place.layer)

    def of(self, adapter: Adapter) -> list[Place]:
        """Where an adapter goes; more than one entry for a part means that it is split.

        Of several parts each is one that it may be meant for; none if it has no place.
        """
        parts, name = self._parts_of(adapter.layer)
        found = [Place(part, layer) for part, layer in self._looked_up(parts, name)]
        if found or next(iter(self.parts)) not in parts:
            return found
        return self._original(name) or self._converted(adapter, name)

    def _parts_of(self, layer: str) -> tuple[Sequence[str], str]:
        """The parts that a name may be of, and what is left of it."""
        layer = layer.removeprefix(WRAPPED)
        for begin, parts in BEGINNINGS:
            found = begin.match(layer)
            if found is not None:
                rest = layer[found.end() :].removeprefix(WRAPPED)
                rest = rest.removeprefix(OF_COMFY) if layer.startswith("text_encoders.") else rest
                own = next(iter(self.parts))
                return [p or own for p in parts if (p or own) in self.parts][:1], rest
        return list(self.parts), layer

    def _looked_up(self, parts: Sequence[str], name: str) -> Iterator[tuple[str, str]]:
        for part in parts:
            layers = self._layers[part]
            found = next((layers[one] for one in _spellings(name) if one in layers), None)
            if found is not None:
                yield part, found

    def _original(self, name: str) -> list[Place]:
        """The places of a name that the model's authors gave, as far as a table has it."""
        own, network = next(iter(self.parts.items()))
        places, begin = [], 0
        for layer in layers_of(type(network).__name__, _flat(name)):
            if layer not in self._layers[own].values():
                return []
            module: Any = network.get_submodule(layer)
            end = begin + module.weight.shape[0]
            places.append(self._turned(Place(own, layer, torch.arange(begin, end))))
            begin = end
        return places

    def _converted(self, adapter: Adapter, name: str) -> list[Place]:
        """The places that diffusers finds, where every output of the adapter has exactly one."""
        convert = getattr(type(self.pipeline), "lora_state_dict", None)
        if convert is None:
            return []
        unet = getattr(self.pipeline, "unet", None)
        more = {} if unet is None else {"unet_config": unet.config}
        numbered = torch.arange(adapter.rows, dtype=torch.float64)[:, None]
        through = torch.ones(1, adapter.columns[0], dtype=torch.float64)
        for down, up in _respelled(adapter, name):
            try:
                with quiet():
                    made = convert({down: through, up: numbered}, **more)
            except Exception:  # of all kinds, over names that it does not know
                continue
            places = self._numbered(made[0] if isinstance(made, tuple) else made)
            rows = [place.rows for place in places if place.rows is not None]
            if rows and torch.equal(torch.cat(rows).sort()[0], torch.arange(adapter.rows)):
                return [self._turned(place) for place in places]
        return []

    def _numbered(self, converted: Mapping[str, Tensor]) -> list[Place]:
        """The places of all second halves in a conversion; none if one of them has no place."""
        own = next(iter(self.parts))
        places = []
        for key, tensor in converted.items():
            said = named(key)
            if said is None or said.role != "up":
                continue
            parts, name = self._parts_of(said.layer)
            found = next(self._looked_up([p for p in parts if p == own], name), None)
            if found is None:
                return []
            places.append(Place(*found, rows=tensor[:, 0].round().long()))
        return places

    def _turned(self, place: Place) -> Place:
        """Turn halves around: models' authors have shift before scale, and diffusers after it."""
        above = self.parts[place.part].get_submodule(place.layer.rpartition(".")[0])
        if place.rows is None or not isinstance(above, AdaLayerNormContinuous):
            return place
        rows = place.rows.sort()[0]
        return Place(place.part, place.layer, rows.roll(len(rows) // 2))


def _adaptable(layer: nn.Module) -> bool:
    """Whether peft changes a layer as trainers do: it forgets dilation and mixes groups."""
    if isinstance(layer, nn.Conv2d):
        return layer.groups == 1 and set(layer.dilation) == {1}
    return isinstance(layer, nn.Linear)


def _flat(name: str) -> str:
    return name.replace(".", "_")


def _spellings(name: str) -> Iterator[str]:
    """How a layer may be called without dots: as it is, as diffusers did of old, as CLIP was."""
    flat = re.sub(r"(^|_)processor_", r"\1", _flat(name))
    if flat.endswith("_to_out"):
        yield from (flat, f"{flat}_0")
    for one in (flat, re.sub(r"_to_(q|k|v|out)$", r"_\1_proj", flat)):
        yield from (one, one.removeprefix("text_model_"), f"text_model_{one}")


def _respelled(adapter: Adapter, name: str) -> Iterator[tuple[str, str]]:
    """Names of both halves: the file's own, and as kohya has them."""
    if "up" in adapter.names:
        yield adapter.names["down"], adapter.names["up"]
    kohya = f"lora_unet_{_flat(name)}"
    yield f"{kohya}.lora_down.weight", f"{kohya}.lora_up.weight"

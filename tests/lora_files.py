"""Files of adapters in the layouts that trainers write, and the model that they make, by hand."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from memaudit.models.families.adapters import read_adapters
from memaudit.models.families.lora import adapt
from memaudit.models.latent import LatentDenoiser
from memaudit.models.load import load_model
from memaudit.models.loaded import ModelOptions

PROMPT = "a red boat at sea"
ENCODERS = ("text_encoder", "text_encoder_2", "text_encoder_3")


@dataclass(frozen=True)
class Change:
    """Both halves of the adapter of one layer, and its alpha."""

    down: Tensor
    up: Tensor
    alpha: float

    @property
    def scale(self) -> float:
        return self.alpha / self.up.shape[1]

    @property
    def whole(self) -> Tensor:
        """What is added to the weight, in the shape of that."""
        return self.scale * torch.einsum("or,r...->o...", self.up.flatten(1), self.down)


Changes = dict[str, Change]
Tensors = dict[str, Tensor]


def opened(model: Path, base: Path | None = None, **options: Any) -> LatentDenoiser:
    asked = ModelOptions(base=None if base is None else str(base), resolution=32, **options)
    denoiser = load_model(str(model), asked).denoiser
    assert isinstance(denoiser, LatentDenoiser)
    return denoiser


def copied(denoiser: LatentDenoiser) -> LatentDenoiser:
    """The same pipeline with networks of its own, which is quicker than to open it again."""
    pipeline = copy.copy(denoiser.pipeline)
    for name, part in denoiser.pipeline.components.items():
        if isinstance(part, nn.Module):
            setattr(pipeline, name, copy.deepcopy(part))
    return replace(denoiser, backbone=replace(denoiser.backbone, pipeline=pipeline), _captions={})


def with_file(denoiser: LatentDenoiser, file: Path) -> LatentDenoiser:
    """A copy of a pipeline with the adapters of a file in it, as a scan puts them there."""
    own = copied(denoiser)
    adapt(own, read_adapters(file), f"the adapters in {file}, put into a pipeline,")
    return own


@torch.no_grad()
def ask(denoiser: LatentDenoiser) -> Tensor:
    denoiser._captions.clear()
    x = torch.randn(1, *denoiser.shape, generator=torch.Generator().manual_seed(1))
    return denoiser.denoise(x, torch.tensor([1.0]), [PROMPT])


def expect_same(found: Tensor, expected: Tensor, before: Tensor) -> None:
    """Equal but for rounding, which is far smaller than what the adapters change."""
    changed = (expected - before).norm()
    assert changed > 2e-4 * before.norm()
    assert (found - expected).norm() < 5e-3 * changed


def layers_of(module: nn.Module) -> dict[str, nn.Module]:
    """The layers of a network that adapters can change."""
    return {
        name: one
        for name, one in module.named_modules()
        if isinstance(one, nn.Linear) or (isinstance(one, nn.Conv2d) and one.groups == 1)
    }


def changes_of(layers: Mapping[str, nn.Module], strength: float = 0.1) -> Changes:
    """Random adapters, whose ranks and scales differ from layer to layer."""
    made = {}
    random = torch.Generator().manual_seed(0)
    for number, (name, layer) in enumerate(layers.items()):
        out, *columns = layer.weight.shape
        rank = 2 + number % 3
        down = torch.randn(rank, *columns, generator=random) / torch.tensor(columns).prod().sqrt()
        up = strength * torch.randn(out, rank, *[1] * (len(columns) - 1), generator=random)
        made[name] = Change(down, up, alpha=[1.0, 2.0, 4.0, 0.5][number % 4])
    return made


@torch.no_grad()
def merge(module: nn.Module, changes: Changes) -> None:
    """Add adapters to the weights of a network by hand."""
    for name, change in changes.items():
        module.get_submodule(name).weight += change.whole


def flat(prefix: str, down: str = "lora_down", up: str = "lora_up") -> Callable[[Changes], Tensors]:
    """Names whose dots are underscores, with alphas: kohya, LyCORIS, OneTrainer."""

    def write(changes: Changes) -> Tensors:
        made = {}
        for name, change in changes.items():
            key = prefix + name.replace(".", "_")
            made |= {f"{key}.{down}.weight": change.down, f"{key}.{up}.weight": change.up}
            made[f"{key}.alpha"] = torch.tensor(change.alpha)
        return made

    return write


def dotted(
    prefix: str, down: str = "lora_A", up: str = "lora_B", alphas: bool = False
) -> Callable[[Changes], Tensors]:
    """Names with dots; without alphas the scale is in the tensors."""

    def write(changes: Changes) -> Tensors:
        made = {}
        for name, change in changes.items():
            scale = 1 if alphas else change.scale
            made |= {
                f"{prefix}{name}.{down}.weight": change.down,
                f"{prefix}{name}.{up}.weight": change.up * scale,
            }
            if alphas:
                made[f"{prefix}{name}.alpha"] = torch.tensor(change.alpha)
        return made

    return write


def write(path: Path, tensors: Tensors, **metadata: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    said = {name: json.dumps(value) for name, value in metadata.items()}
    save_file(
        {name: one.contiguous() for name, one in tensors.items()}, path, {"format": "pt"} | said
    )
    return path


def halves(layer: str, out: int = 32, into: int = 32, rank: int = 2) -> Tensors:
    """An adapter of ones, as kohya has it."""
    return {
        f"{layer}.lora_down.weight": torch.ones(rank, into),
        f"{layer}.lora_up.weight": torch.ones(out, rank),
    }

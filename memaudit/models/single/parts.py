"""The networks of a single file, each made of its configuration and of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from memaudit.models.latent_parts import IN_FP32, class_of, of_diffusers, quiet
from memaudit.models.limits import blank, naming
from memaudit.models.loaded import DTYPES, ModelOptions
from memaudit.models.locate import read_config
from memaudit.models.single.checkpoint import Checkpoint
from memaudit.models.single.fit import converted, dropped
from memaudit.models.single.frame import Frame
from memaudit.models.single.layouts import Held
from memaudit.models.single.quantized import refuse_packed
from memaudit.models.weights import freeze, require_fitting


@dataclass(frozen=True, eq=False)
class Planned:
    """A part that is to be made of a file: what fits whom was found, and nothing was read."""

    held: Held
    kind: Any
    network: Any  # without numbers
    config: Path  # the folder of its config.json
    dropped: tuple[str, ...]  # tensors in the file that the network does without


def plan(held: Held, frame: Frame, checkpoint: Checkpoint) -> Planned:
    """Hold a part of a file to its configuration; raises ModelError if that is another's."""
    config = frame.folder / held.part
    kind = class_of(frame.recipe.parts[held.part], config, frame.index.get(held.part))
    what = f"the {kind.__name__} in {checkpoint.place} does not fit its configuration"
    values = read_config(config / "config.json")
    with naming(f"the {kind.__name__} that {config} describes"), torch.device("meta"):
        network = blank(kind, values)
    refuse_packed(checkpoint, held.names.values())
    left = dropped(held, checkpoint.tensors, network, f"{what} ({frame.name})")
    return Planned(held, kind, network, config, tuple(left))


def build(planned: Planned, checkpoint: Checkpoint, options: ModelOptions) -> nn.Module:
    """Read the tensors of a part and load them, all of them."""
    held, kind = planned.held, planned.kind
    dtype = torch.float32 if held.part in IN_FP32 else DTYPES[options.dtype]
    with quiet(), naming(f"the {kind.__name__} in {checkpoint.place}"):
        tensors = converted(held, checkpoint.read(held.names), planned.network)
        load = _of_diffusers if of_diffusers(kind) else _of_transformers
        network = load(planned, tensors, dtype)
    freeze(network, checkpoint.place)
    return network


def _of_diffusers(
    planned: Planned, tensors: Mapping[str, torch.Tensor], dtype: torch.dtype
) -> nn.Module:
    network: nn.Module = planned.kind.from_single_file(
        dict(tensors),
        config=str(planned.config),
        torch_dtype=dtype,
        local_files_only=True,
    )
    return network


def _of_transformers(
    planned: Planned, tensors: Mapping[str, torch.Tensor], dtype: torch.dtype
) -> nn.Module:
    network, report = planned.kind.from_pretrained(
        None,
        config=planned.network.config,
        state_dict=dict(tensors),
        torch_dtype=dtype,
        output_loading_info=True,
    )
    strays = [*report["missing_keys"], *report["mismatched_keys"], *report["unexpected_keys"]]
    require_fitting([str(each) for each in strays], planned.config)
    made: nn.Module = network
    return made

"""The networks of a pipeline, each loaded whole from its own folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import ModelMixin
from diffusers.utils import logging as diffusers_logging
from torch import nn
from transformers.utils import logging as transformers_logging

from memaudit.errors import ModelError
from memaudit.models.chosen import Chosen, Network, choose
from memaudit.models.limits import check_size, naming
from memaudit.models.loaded import DTYPES, ModelOptions
from memaudit.models.locate import RENAMED, read_config
from memaudit.models.weights import (
    OF_DIFFUSERS,
    OF_TRANSFORMERS,
    freeze,
    has_weights,
    numbers_in,
    require_fitting,
    staged,
)
from memaudit.text import shown

READ = (
    "it needs its config.json and weights in .safetensors (a pickle can run any code, so it is "
    "never loaded)"
)
IN_FP32 = ("vae", "vqvae")


def load_part(kinds: Sequence[Any], folder: Path, entry: Any, options: ModelOptions) -> nn.Module:
    """Load one network of a pipeline, whole; raises ModelError if anything is missing.

    It is of one of these classes: the one that `entry` of model_index.json names, or the first.
    """
    kind = class_of(kinds, folder, entry)
    dtype = torch.float32 if folder.name in IN_FP32 else DTYPES[options.dtype]
    chosen = part_weights(kind, folder, options)
    files, folder = chosen.files, chosen.configured
    if not (folder / "config.json").is_file() or (folder / "adapter_config.json").exists():
        raise ModelError(
            f"{folder} holds no {kind.__name__}: expected its config.json and weights in "
            ".safetensors, and no adapter_config.json, which names other models"
        )
    config = read_config(folder / "config.json")
    with quiet(), naming(f"the {kind.__name__} in {folder}", READ):
        check_size(kind, config, numbers_in(files), folder)
        with staged(folder, files, stem_of(kind)) as stage:
            part, report = kind.from_pretrained(
                stage,
                torch_dtype=dtype,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                **({"low_cpu_mem_usage": False} if of_diffusers(kind) else {}),
            )
        if of_diffusers(kind):  # some keep the number format of their file
            part = part.to(dtype)
    strays = [str(key) for key in (*report["missing_keys"], *report["mismatched_keys"])]
    if of_diffusers(kind):  # text encoders of old carry tensors nobody needs
        strays += report["unexpected_keys"]
    require_fitting(strays, folder)
    network: nn.Module = part
    freeze(network, folder)
    return network


def part_weights(kind: Any, folder: Path, options: ModelOptions) -> Chosen:
    """The weights of a part; parts that have none of a variant are taken plain."""
    stem, variant = stem_of(kind), options.variant
    if variant is not None and not has_weights(folder, variant, stem):
        options = replace(options, variant=None)
    return choose(Network(folder.name, folder, stem), options)


def of_diffusers(kind: Any) -> bool:
    """Whether a class of networks is of diffusers; else it is of transformers."""
    return issubclass(kind, ModelMixin)


def class_of(kinds: Sequence[Any], folder: Path, entry: Any) -> Any:
    """The class that a pipeline says a part is of, if it is one of those that are read."""
    named = entry[-1] if isinstance(entry, list) and entry else None
    named = RENAMED.get(named, named) if isinstance(named, str) else named
    by_name = {kind.__name__: kind for kind in kinds}
    if named is not None and named not in by_name:
        raise ModelError(
            f"{folder.parent / 'model_index.json'} says that {folder.name} is a {shown(named)}, "
            f"expected a {' or '.join(by_name)}: other networks are not read"
        )
    return by_name.get(named, kinds[0])


def stem_of(kind: Any) -> str:
    """How the names of its weight files begin."""
    return OF_DIFFUSERS if of_diffusers(kind) else OF_TRANSFORMERS


@contextmanager
def quiet() -> Iterator[None]:
    """Keep diffusers and transformers from drawing progress bars and giving advice."""
    shown = [each for each in (diffusers_logging, transformers_logging) if _shows_bars(each)]
    speaking = {each: each.get_verbosity() for each in (diffusers_logging, transformers_logging)}
    for each in speaking:
        each.set_verbosity_error()
    for each in shown:
        each.disable_progress_bar()
    try:
        yield
    finally:
        for each, verbosity in speaking.items():
            each.set_verbosity(verbosity)
        for each in shown:
            each.enable_progress_bar()


def _shows_bars(logging: Any) -> bool:
    return bool(logging.is_progress_bar_enabled())

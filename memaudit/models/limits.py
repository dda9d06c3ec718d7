"""What a model's configuration may ask for, and what a library raises over it.

A configuration is another's text: a number in it can hang a program or fill its memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin

from memaudit.errors import MemauditError, ModelError, out_of_memory
from memaudit.foreign import reason

NUMBER = 1_000_000  # no number of a configuration is larger, but for those that say so
ENTRIES = 256  # of a list
STEPS = 100_000  # of a noise schedule, whose betas may be listed one by one
TEXT = 4096  # characters of a text
DEPTH = 1024  # layers: blocks, times the layers in each, times the transformers in each of those
SPARE = 10_000_000  # parameters, 40 MB
SIDE = 2048  # pixels of an image, where the model says how large its images are
WHOLE = {  # whole numbers, each alone or in lists, and the range they must be in
    "sample_size": (1, SIDE),
    "in_channels": (1, 4096),
    "out_channels": (1, 4096),
    "latent_channels": (1, 256),
    "z_dim": (1, 256),
    "patch_size": (1, 64),
    **dict.fromkeys(
        ("block_out_channels", "encoder_block_out_channels", "decoder_block_out_channels"),
        (1, 16_384),
    ),
    "layers_per_block": (1, 64),
    **dict.fromkeys(("encoder_layers_per_block", "decoder_layers_per_block"), (0, 64)),
    "transformer_layers_per_block": (1, 64),
    "norm_num_groups": (1, 1024),
    "attn_norm_num_groups": (1, 1024),
    "attention_head_dim": (1, 16_384),
    "num_attention_heads": (1, 1024),
    "cross_attention_dim": (1, 16_384),
    "num_train_timesteps": (1, STEPS),
    **dict.fromkeys(
        (
            *("num_hidden_layers", "num_layers", "num_decoder_layers", "num_single_layers"),
            *("n_layers", "depth"),
        ),
        (1, 256),
    ),
    **dict.fromkeys(("num_refiner_layers", "n_refiner_layers", "num_res_blocks"), (0, 256)),
    **dict.fromkeys(
        (
            *("num_heads", "n_heads", "n_kv_heads", "num_kv_heads", "num_key_value_heads"),
            "num_cross_attention_heads",
        ),
        (1, 1024),
    ),
    **dict.fromkeys(
        (
            *("hidden_size", "d_model", "d_kv", "head_dim", "dim", "base_dim"),
            *("cross_attention_head_dim", "joint_attention_dim", "caption_projection_dim"),
            *("pooled_projection_dim", "caption_channels", "cap_feat_dim", "pos_embed_max_size"),
        ),
        (1, 65_536),
    ),
    **dict.fromkeys(("intermediate_size", "d_ff"), (1, 262_144)),
    "max_position_embeddings": (1, NUMBER),
    "vocab_size": (1, NUMBER),
    "projection_dim": (1, 16_384),
    "optimization_step": (0, 1_000_000_000),  # of a training, which EMA weights come with
}
LAYERS = ("block_out_channels", "layers_per_block", "transformer_layers_per_block")
LARGE = {"rope_theta": (0, 10**12)}  # numbers that are no size of anything
FLAGS = ("clip_sample", "rescale_betas_zero_snr")  # any text would be taken for true
REFUSED = {  # fields that bring in other code, or other files than those that were resolved
    "quantization_config": "a quantized network",
    "attn_implementation": "an implementation of attention",
    "_attn_implementation": "an implementation of attention",
}


def check_config(config: Mapping[str, Any], path: Path) -> None:
    """Hold a configuration to the bounds, before anything is made of it; raises ModelError."""
    for name, value in _named(config):
        if value is not None and name in REFUSED:
            raise ModelError(
                f"{path} asks for {REFUSED[name]} ({name}), which is not read; remove that entry, "
                "or save the model without it"
            )
        if name in FLAGS and not isinstance(value, bool | None):
            raise ModelError(
                f"{path} gives {name} {short(value)}, expected true or false; correct it, or copy "
                "the model again"
            )
        low, high = WHOLE.get(name) or LARGE.get(name, (-NUMBER, NUMBER))
        for leaf in _leaves(value, STEPS if name == "trained_betas" else ENTRIES):
            if not _fits(leaf, low, high, name in WHOLE):
                kind = "a whole number" if name in WHOLE else "a number or a short text"
                raise ModelError(
                    f"{path} gives {name} {short(value)}, expected {kind} of {low} to {high}; "
                    "correct it, or copy the model again"
                )
    _check_depth(config, path)


def check_size(kind: Any, config: Mapping[str, Any], held: int, folder: Path) -> None:
    """Refuse a configuration of far more parameters than the weights hold, before it takes memory.

    `held` counts the numbers in the weight files. Smaller misfits are told tensor by tensor when
    they are loaded. Raises ModelError.
    """
    with naming(f"the {kind.__name__} in {folder}"), torch.device("meta"):
        network = _blank(kind, config)
    asked = sum(parameter.numel() for parameter in network.parameters())
    if asked > 2 * held + SPARE:
        raise ModelError(
            f"the config.json in {folder} describes a network of {asked} numbers, and its weights "
            f"hold {held}: they do not fit; take both from one model"
        )


@contextmanager
def naming(
    part: str, advice: str = "check that its files are whole and of one model"
) -> Iterator[None]:
    """Name the part of a model over which a library fails, whatever it raises: ModelError.

    Errors of memaudit pass, and so does want of memory, which is no fault of the model.
    """
    try:
        yield
    except MemauditError:
        raise
    except Exception as error:
        if out_of_memory(error):
            raise
        if isinstance(error, OSError) and error.filename:
            raise ModelError(
                f"{part} cannot be used: {error.filename}: {error.strerror}; check the path and "
                "its permissions"
            ) from error
        raise ModelError(
            f"{part} cannot be used: {type(error).__name__}: {reason(error)}; {advice}"
        ) from error


def _blank(kind: Any, config: Mapping[str, Any]) -> Any:
    """A network without weights: diffusers' and transformers' classes are made differently."""
    if issubclass(kind, ConfigMixin):
        return kind.from_config(dict(config))
    return kind(kind.config_class.from_dict(dict(config)))


def _named(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What a configuration gives, by name, and what those inside it give."""
    for name, value in config.items():
        if isinstance(value, dict):
            yield from _named(value)
        else:
            yield name, value


def _leaves(value: Any, entries: int) -> Iterator[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        yield value
        return
    if len(value) > entries:
        yield value  # fits nothing
        return
    for one in value:
        yield from _leaves(one, entries)


def _fits(leaf: Any, low: int, high: int, whole: bool) -> bool:
    if leaf is None or (isinstance(leaf, bool) and not whole):
        return True
    if isinstance(leaf, str):
        return not whole and len(leaf) <= TEXT
    if isinstance(leaf, int) or (isinstance(leaf, float) and not whole):
        return not isinstance(leaf, bool) and math.isfinite(leaf) and low <= leaf <= high
    return False


def _check_depth(config: Mapping[str, Any], path: Path) -> None:
    blocks, *layers = (list(_leaves(config.get(name), ENTRIES)) for name in LAYERS)
    depth = len(blocks) * math.prod(max(one or 1 for one in each) for each in layers)
    if depth > DEPTH:
        raise ModelError(
            f"{path} describes {depth} layers ({', '.join(LAYERS)}), expected {DEPTH} at most; "
            "correct it, or copy the model again"
        )


def short(value: Any) -> str:
    """What is shown of a value in a message."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."

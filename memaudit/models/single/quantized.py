"""Weights in fewer bits: those that are read as the numbers they stand for, and those refused."""

from __future__ import annotations

import re
from collections.abc import Iterable

from memaudit.errors import ModelError
from memaudit.models.single.checkpoint import FP8, SCALE, Checkpoint

# What stands beside packed weights, of bitsandbytes, ComfyUI, Nunchaku, GPTQ and others.
BESIDE = re.compile(
    r".*(\.(absmax|quant_map|nested_absmax|nested_quant_map|SCB|weight_format|qweight|qzeros|scales"
    r"|wscales|wzeros|smooth|smooth_factor|weight_scale|weight_scale_2|weight_zero_point"
    r"|input_scale|comfy_quant)|\.quant_state\..*)"
)
PACKED = re.compile(r"[IU]\d+|BOOL|F[46]_.*|F4|F8_E8M0|F8_.*FNUZ")  # no numbers to compute with
INSTEAD = "give a file of the same model in bfloat16, float16 or float32, in plain fp8, or as GGUF"


def refuse_quantized(checkpoint: Checkpoint) -> None:
    """Raise ModelError for weights that stand for numbers in a way that is not read."""
    names = checkpoint.tensors
    found = next((name for name in names if BESIDE.fullmatch(name)), None)
    if found is not None:
        raise ModelError(
            f"{checkpoint.place} is quantized: it holds {found}, which says what packed weights "
            f"stand for, and that is not read; {INSTEAD}"
        )
    for name in names:
        if name.endswith(SCALE):
            _expect_scale(checkpoint, name)


def refuse_packed(checkpoint: Checkpoint, used: Iterable[str]) -> None:
    """Raise ModelError if one of these tensors is not in a format of numbers."""
    for name in used:
        found = checkpoint.tensors[name].format
        if PACKED.fullmatch(found):
            raise ModelError(
                f"{checkpoint.place} is quantized: {name} is in {found}, expected floating-point "
                f"numbers; {INSTEAD}"
            )


def _expect_scale(checkpoint: Checkpoint, name: str) -> None:
    """Raise ModelError unless a scale is one number for an fp8 tensor."""
    scaled = checkpoint.tensors.get(f"{name.removesuffix(SCALE)}.weight")
    shape = checkpoint.tensors[name].shape
    if scaled is None or scaled.format not in FP8 or any(side != 1 for side in shape):
        raise ModelError(
            f"{checkpoint.place} is quantized: {name} is of shape {list(shape)} beside a weight in "
            f"{scaled.format if scaled else 'no format'}, expected one number beside one in fp8; "
            f"{INSTEAD}"
        )

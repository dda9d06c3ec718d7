"""What the sizes of a few tensors say of a model, whatever stands before their names."""

from __future__ import annotations

from collections.abc import Mapping

from memaudit.models.single.stored import Stored

FIRST = "input_blocks.0.0.weight"  # of a UNet, [width, channels, 3, 3]
SIZES = "label_emb.0.0.weight"  # of a UNet that is told sizes, or more
HEARD = "attn2.to_k.weight"  # of a UNet, [width, that of a word]


def shape_of(tensors: Mapping[str, Stored], name: str) -> tuple[int, ...] | None:
    """The shape of the tensor whose name ends so, two sides of it at least."""
    found = (one.shape for each, one in tensors.items() if f".{each}".endswith(f".{name}"))
    return next((shape for shape in found if len(shape) > 1), None)


def context_of(tensors: Mapping[str, Stored]) -> int | None:
    """How wide the words are that a UNet hears."""
    shape = shape_of(tensors, HEARD)
    return None if shape is None else shape[1]


def layers(tensors: Mapping[str, Stored], block: str) -> int:
    """How many blocks are called `block`."""
    return len(
        {
            each.partition(f"{block}.")[2].partition(".")[0]
            for each in tensors
            if f".{block}." in f".{each}"
        }
    )

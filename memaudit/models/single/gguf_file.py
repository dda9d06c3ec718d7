"""GGUF: weights in blocks of few bits, read as the numbers that they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memaudit.errors import DependencyError, ModelError
from memaudit.foreign import open_regular, refusing
from memaudit.models.single.stored import Stored

FOLDED = "comfy.gguf.orig_shape."  # begins the field with the shape of what was folded into blocks


class GgufFile:
    """A GGUF file, read by the package gguf; raises DependencyError if that is not installed."""

    def __init__(self, path: Path) -> None:
        try:
            from gguf import quants
        except ImportError as error:
            raise DependencyError(
                f"{path} is a GGUF file, and the package gguf, which reads them, is not installed: "
                "pip install 'memaudit-diffusion[gguf]', or give the model as .safetensors"
            ) from error
        advice = "copy or download it again"
        with refusing(
            lambda why: ModelError(f"{why}; {advice}"), f"{path} is not a whole GGUF file"
        ):
            with open_regular(path):
                reader = _reader(path)
            self._tensors = {one.name: one for one in reader.tensors}
            self._shapes = {
                name: _shape(one, reader.fields.get(FOLDED + name))
                for name, one in self._tensors.items()
            }
        self._dequantize = quants.dequantize
        self.metadata: Mapping[str, str] = {}

    def stored(self) -> dict[str, Stored]:
        """Shapes as they were before blocks were made."""
        return {
            name: Stored(self._shapes[name], one.tensor_type.name, int(one.n_bytes))
            for name, one in self._tensors.items()
        }

    def tensor(self, name: str) -> Tensor:
        """The numbers that the blocks stand for, float32."""
        one = self._tensors[name]
        numbers = np.array(self._dequantize(one.data, one.tensor_type))
        return torch.from_numpy(numbers).reshape(self._shapes[name])


def is_gguf(path: Path) -> bool:
    """Whether a file is called a GGUF file."""
    return path.suffix.lower() == ".gguf"


def _shape(tensor: Any, folded: Any) -> tuple[int, ...]:
    """The sides of a tensor, which GGUF gives from the last to the first."""
    sides = folded.contents() if folded is not None else reversed(tensor.shape)
    return tuple(int(side) for side in sides)


def _reader(path: Path) -> Any:
    """A reader that ends where the file does, whatever lengths its header gives."""
    from gguf import GGUFReader

    class Whole(GGUFReader):  # type: ignore[misc]
        def _get(self, offset: int, dtype: Any, count: int = 1, *more: Any, **named: Any) -> Any:
            found = super()._get(offset, dtype, count, *more, **named)
            if len(found) < int(count):
                raise ValueError("it ends inside of its header or of a tensor")
            return found

    return Whole(path)

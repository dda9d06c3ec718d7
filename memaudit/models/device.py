"""Where a model runs."""

from __future__ import annotations

import torch

from memaudit.errors import ConfigError


def resolve_device(name: str) -> torch.device:
    """'auto' -> the GPU if there is one, else the CPU; raises ConfigError for a GPU that is not."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda, but torch finds no GPU here; use --device cpu or auto")
    return torch.device(name)

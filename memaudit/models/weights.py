"""The weights of a model folder: whole, finite, safetensors and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from memaudit.errors import ModelError

WEIGHTS = "diffusion_pytorch_model"  # what diffusers calls the weights of any of its models
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def weight_files(folder: Path, variant: str | None) -> list[Path]:
    """The .safetensors files that make up the weights, whole as far as their headers tell."""
    stem = WEIGHTS if variant is None else f"{WEIGHTS}.{variant}"
    files = [
        *folder.glob(f"{stem}.safetensors"),
        *sorted(folder.glob(f"{stem}-*-of-*.safetensors")),
    ]
    if not files:
        raise _no_weights(folder, f"{stem}.safetensors")
    for path in files:
        try:
            with safe_open(path, framework="pt"):
                pass
        except (SafetensorError, OSError) as error:
            raise ModelError(
                f"{path} ({path.stat().st_size} bytes) is not a whole .safetensors file: {error}; "
                "copy or download it again"
            ) from error
    return files


def _no_weights(folder: Path, expected: str) -> ModelError:
    others = sorted(path.name for path in folder.glob("*.safetensors"))
    if others:
        return ModelError(
            f"{folder} holds {', '.join(others)}, expected {expected}; name another variant with "
            "--variant, or none, or rename the file"
        )
    pickled = sorted(path.name for pattern in PICKLED for path in folder.glob(pattern))
    if pickled:
        return ModelError(
            f"{folder} holds pickled weights only ({', '.join(pickled)}); a pickle can run any "
            "code, so it is never loaded. Convert it where it is trusted: load the model there "
            "and call save_pretrained(folder, safe_serialization=True)"
        )
    return ModelError(
        f"{folder} holds no weights, expected {expected}; copy or download the model again"
    )


def sha256_file(path: Path) -> str:
    """The hex digest of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_fitting(strays: Sequence[str], folder: Path) -> None:
    """Refuse weights of which tensors were missing, left over or of another shape."""
    if strays:
        raise ModelError(
            f"the weights in {folder} do not fit its config.json: {len(strays)} tensors are "
            f"missing, left over or of another shape, {strays[0]} first; take both from one model"
        )


def freeze(network: nn.Module, folder: Path) -> None:
    """Let no gradient reach a network and no dropout change it; refuse what is not finite."""
    network.requires_grad_(False).eval()
    for name, parameter in network.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            raise ModelError(
                f"the weights in {folder} hold NaN or infinity ({name}); the training diverged or "
                "the file is damaged: take an earlier checkpoint, or copy it again"
            )

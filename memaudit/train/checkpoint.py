"""Checkpoints in safetensors: network, average, optimizer; written whole or not at all."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from memaudit.errors import RunDirectoryError
from memaudit.files import in_place
from memaudit.train.folder import CHECKPOINTS, other_training

KEEP = 2
SEAL = "sha256"


@dataclass(frozen=True, eq=False)
class TrainingState:
    """Everything that changes while training."""

    network: nn.Module
    average: AveragedModel
    optimizer: AdamW

    def tensors(self) -> dict[str, Tensor]:
        """Flat names for every tensor of the state."""
        named = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        named |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        for index, slots in self.optimizer.state_dict()["state"].items():
            named |= {f"optimizer.{index}.{k}": v for k, v in slots.items()}
        return {name: tensor.detach().cpu().contiguous() for name, tensor in named.items()}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Put a saved state back."""
        self.network.load_state_dict(_under("network.", tensors))
        self.average.load_state_dict(_under("average.", tensors))
        slots: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _under("optimizer.", tensors).items():
            index, _, slot = name.partition(".")
            slots.setdefault(int(index), {})[slot] = tensor
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": slots, "param_groups": groups})


def save(out: Path, step: int, digest: str, state: TrainingState) -> None:
    """Write the checkpoint of a step, then drop all but the newest."""
    folder = out / CHECKPOINTS
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{step:08d}.safetensors"
    tensors = state.tensors()
    said = {"step": str(step), "digest": digest}
    with in_place(path) as temporary:
        save_file(tensors, temporary, metadata={**said, SEAL: _seal(said, tensors)})
    for old in _saved(out)[:-KEEP]:
        old.unlink()


def kept(out: Path) -> str:
    """Say which checkpoints there are."""
    names = [path.name for path in _saved(out)]
    return (
        f"Kept in {out / CHECKPOINTS}: {', '.join(names)}"
        if names
        else "No checkpoint was saved yet"
    )


def restore(out: Path, digest: str, state: TrainingState) -> int:
    """Load the newest checkpoint and return its step; 0 where there is none.

    Raises RunDirectoryError if it was made with other arguments, or is damaged.
    """
    paths = _saved(out)
    if not paths:
        return 0
    try:
        with safe_open(paths[-1], framework="pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        said = {"step": metadata["step"], "digest": metadata["digest"]}
        step, made_by = int(said["step"]), said["digest"]
        _expect_sealed(metadata[SEAL], said, tensors)
    except OSError as error:
        raise RunDirectoryError(
            f"{paths[-1]} cannot be read ({error}); check the file and its permissions"
        ) from error
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        instead = f"from {paths[-2].name}" if len(paths) > 1 else "anew"
        raise RunDirectoryError(
            f"{paths[-1]} is not a whole checkpoint ({_why(error)}); remove it, and the same "
            f"command trains on {instead}"
        ) from error
    if made_by != digest:
        raise other_training(out)
    state.load(tensors)
    return step


def make_state(network: nn.Module, lr: float, weight_decay: float, ema: float) -> TrainingState:
    """AdamW and an exponential moving average of the weights."""
    average_of = get_ema_multi_avg_fn(ema)  # type: ignore[no-untyped-call]
    average = AveragedModel(network, multi_avg_fn=average_of, use_buffers=True)
    optimizer = AdamW(network.parameters(), lr=lr, weight_decay=weight_decay, betas=(0.9, 0.99))
    return TrainingState(network, average, optimizer)


def _seal(said: dict[str, str], tensors: dict[str, Tensor]) -> str:
    """The sha256 of all that a checkpoint holds; it lies in the same file, so none is without."""
    digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _expect_sealed(seal: str, said: dict[str, str], tensors: dict[str, Tensor]) -> None:
    if seal != _seal(said, tensors):
        raise ValueError(f"it is damaged: the {SEAL} of what it holds is not the one written in it")


def _why(error: Exception) -> str:
    return f"it has no {error}" if isinstance(error, KeyError) else str(error)


def _saved(out: Path) -> list[Path]:
    return sorted((out / CHECKPOINTS).glob("step-*.safetensors"))


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

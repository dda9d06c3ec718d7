"""The processes that share a training: each takes its rows of every batch.

The network is small, so its gradients travel in one message after the backward pass, and the loss
with them. All processes then take the same step.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, distributed

from memaudit.errors import ConfigError
from memaudit.models.device import resolve_device


@dataclass(frozen=True)
class Processes:
    """How many there are, which this one is, and where it computes."""

    count: int
    index: int
    device: torch.device

    @property
    def main(self) -> bool:
        """Whether this is the one that writes."""
        return self.index == 0

    def rows(self, batch: int) -> slice:
        """Which rows of a batch are this one's."""
        each = batch // self.count
        return slice(self.index * each, (self.index + 1) * each)

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its mean over all processes."""
        if self.count == 1:
            return
        own = list(tensors)
        message = torch.cat([tensor.detach().flatten() for tensor in own])
        distributed.all_reduce(message)
        message /= self.count
        start = 0
        for tensor in own:
            end = start + tensor.numel()
            tensor.detach().copy_(message[start:end].view_as(tensor))
            start = end

    def leave(self) -> None:
        """Take leave of the other processes."""
        if self.count > 1:
            distributed.destroy_process_group()


def join(device: str, batch: int) -> Processes:
    """Meet the other processes of a launcher (accelerate, torchrun); else be the only one.

    Raises ConfigError, before they meet, for a batch that does not divide among them.
    """
    found, count = resolve_device(device), int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return Processes(1, 0, found)
    if batch % count:
        raise ConfigError(
            f"--batch-size {batch} does not divide among {count} processes; give a multiple of "
            "their number"
        )
    from accelerate import PartialState

    state = PartialState(cpu=found.type == "cpu")
    state.wait_for_everyone()  # so that none leaves while another still looks for it
    return Processes(state.num_processes, state.process_index, state.device)


def is_main() -> bool:
    """Whether this is the first of the processes that were launched together."""
    return int(os.environ.get("RANK", "0")) == 0

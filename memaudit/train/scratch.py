"""A pixel UNet with random weights, to be trained from scratch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from torch.optim.swa_utils import AveragedModel

from memaudit.config import TrainConfig
from memaudit.models.ambient import fixed_mask
from memaudit.models.denoiser import Denoiser
from memaudit.models.families.pixel import wrap
from memaudit.models.pixel import PixelDenoiser
from memaudit.models.schedule import Schedule, schedule_from_config
from memaudit.train.batch import Batch, Estimate
from memaudit.train.corrupted import record


@dataclass(frozen=True, eq=False)
class Scratch:
    """A learner (see Learner): a UNet, and the scheduler that is saved beside it."""

    config: TrainConfig
    weights: UNet2DModel
    scheduler: DDPMScheduler
    denoiser: PixelDenoiser
    schedule: Schedule

    def estimate(self, batch: Batch) -> Estimate:
        """The UNet, told the mask of this step if it has a channel for one."""
        if self.config.loss == "ambient-mask":
            return self.denoiser.seeing(batch.further).denoise
        return self.denoiser.denoise

    @contextmanager
    def averaged(self, average: AveragedModel, lowest: float | None) -> Iterator[Denoiser]:
        """The averaged UNet, as the finished model samples."""
        yield replace(
            self.denoiser,
            network=average.module,
            lowest=lowest,
            clip=1.0,
            mask=fixed_mask(record(self.config), self.denoiser),
        )

    def save(self, average: AveragedModel, out: Path) -> None:
        """Write a diffusers pipeline."""
        self.weights.load_state_dict(average.module.state_dict())
        unet = self.weights.eval().cpu()
        DDPMPipeline(unet=unet, scheduler=self.scheduler).save_pretrained(out)


def from_scratch(config: TrainConfig, device: torch.device) -> Scratch:
    """A UNet with random weights, a function of the seed; one channel more if it is told a mask."""
    torch.manual_seed(config.seed)
    told = config.loss == "ambient-mask"
    deepest = len(config.channels) - 1
    network = UNet2DModel(
        sample_size=config.side,
        in_channels=4 if told else 3,
        out_channels=3,
        block_out_channels=config.channels,
        layers_per_block=config.layers,
        norm_num_groups=8,
        attention_head_dim=min(16, config.channels[-1]),
        down_block_types=["DownBlock2D"] * deepest + ["AttnDownBlock2D"],
        up_block_types=["AttnUpBlock2D"] + ["UpBlock2D"] * deepest,
    )
    network.to(device, memory_format=torch.channels_last).train()
    if config.gradient_checkpointing:
        network.enable_gradient_checkpointing()
    scheduler = DDPMScheduler(
        beta_schedule=config.schedule, prediction_type=config.prediction, clip_sample=True
    )
    denoiser = wrap(network, {**scheduler.config, "clip_sample": False}, masked=told)
    schedule = schedule_from_config(scheduler.config)
    return Scratch(config, network, scheduler, denoiser, schedule)

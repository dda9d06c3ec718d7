"""The network that is trained, and its schedule."""

from __future__ import annotations

import torch
from diffusers import DDPMScheduler, UNet2DModel

from memaudit.config import TrainConfig


def build(config: TrainConfig) -> tuple[UNet2DModel, DDPMScheduler]:
    """A UNet with random weights, a function of the seed; one channel more if it is told a mask."""
    torch.manual_seed(config.seed)
    deepest = len(config.channels) - 1
    network = UNet2DModel(
        sample_size=config.resolution,
        in_channels=4 if config.loss == "ambient-mask" else 3,
        out_channels=3,
        block_out_channels=config.channels,
        layers_per_block=config.layers,
        norm_num_groups=8,
        attention_head_dim=min(16, config.channels[-1]),
        down_block_types=["DownBlock2D"] * deepest + ["AttnDownBlock2D"],
        up_block_types=["AttnUpBlock2D"] + ["UpBlock2D"] * deepest,
    )
    scheduler = DDPMScheduler(
        beta_schedule=config.schedule, prediction_type=config.prediction, clip_sample=True
    )
    return network, scheduler

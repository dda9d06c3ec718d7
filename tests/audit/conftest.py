"""Members, controls and others, and models of them."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from diffusers import DDPMScheduler, UNet2DModel


@dataclass(frozen=True)
class Sides:
    """Three folders of different images."""

    members: Path
    controls: Path
    others: Path


@pytest.fixture
def sides(tiles, write_folder) -> Sides:
    """15 members, 40 controls (the fewest for evidence is 39) and 25 others."""
    return Sides(
        write_folder("members", tiles[:15]),
        write_folder("controls", tiles[15:55]),
        write_folder("others", tiles[55:]),
    )


@pytest.fixture(scope="session")
def unet(tmp_path_factory) -> Path:
    """A tiny UNet of 16 px with random weights, and a linear schedule."""
    torch.manual_seed(0)
    network = UNet2DModel(
        sample_size=16,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        add_attention=False,
    )
    folder = tmp_path_factory.mktemp("models") / "unet"
    network.save_pretrained(folder)
    DDPMScheduler().save_config(folder)
    return folder

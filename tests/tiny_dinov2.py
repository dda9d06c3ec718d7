"""A tiny DINOv2 with random weights: 16 x 16 patches, and vectors of 32 numbers."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import Dinov2Config, Dinov2Model

from memaudit.data import resize
from memaudit.records import Image


def write_dinov2(folder: Path) -> Dinov2Model:
    """Save it into a folder and return it."""
    config = Dinov2Config(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14
    )
    torch.manual_seed(0)
    model = Dinov2Model(config).eval()
    model.save_pretrained(folder)
    return model


def dinov2_pixels(photos: list[Image]) -> Tensor:
    """[N, 3, 224, 224] as DINOv2 takes images."""
    images = [resize(photo, (224, 224), "stretch") for photo in photos]
    batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2) / 255
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 3, 1, 1)
    return (batch - mean) / std

"""Tiny networks: random ones for exact arithmetic, and one that was trained."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DModel
from PIL import Image as PillowImage
from torch import Tensor

from memaudit.config import TrainConfig
from memaudit.errors import ModelError
from memaudit.models.latent import LatentDenoiser
from memaudit.models.load import load_model
from memaudit.models.loaded import ModelOptions
from memaudit.models.pixel import PixelDenoiser
from memaudit.records import Image
from memaudit.train.loop import train


@pytest.fixture(scope="session")
def make_unet() -> Callable[..., UNet2DModel]:
    """A UNet with random weights for 8 px images: make_unet(in_channels, out_channels)."""

    def make(in_channels: int = 3, out_channels: int = 3) -> UNet2DModel:
        torch.manual_seed(0)
        network = UNet2DModel(
            sample_size=8,
            in_channels=in_channels,
            out_channels=out_channels,
            block_out_channels=(8, 16),
            down_block_types=("DownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "UpBlock2D"),
            norm_num_groups=4,
            layers_per_block=1,
        )
        return network.eval().requires_grad_(False)

    return make


@pytest.fixture(scope="session")
def trained(
    tiles: list[Image], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], PixelDenoiser]:
    """Train a v-prediction UNet on the first 48 tiles under a schedule, once a session."""
    made: dict[str, PixelDenoiser] = {}

    def get(schedule: str) -> PixelDenoiser:
        if schedule not in made:
            made[schedule] = _train(schedule, tiles[:48], tmp_path_factory.mktemp(schedule))
        return made[schedule]

    return get


def _train(schedule: str, images: list[Image], folder: Path) -> PixelDenoiser:
    (folder / "data").mkdir()
    for k, image in enumerate(images):
        PillowImage.fromarray(image).save(folder / "data" / f"{k:03d}.png")
    config = TrainConfig(
        dataset=str(folder / "data"),
        out=str(folder / "model"),
        resolution=16,
        channels=(16, 32),
        schedule=schedule,
        steps=250,
        lr=4e-3,
        ema=0.95,
        warmup=20,
        device="cpu",
    )
    denoiser = load_model(str(train(config)), ModelOptions()).denoiser
    assert isinstance(denoiser, PixelDenoiser)
    return denoiser


@pytest.fixture(scope="session")
def all_clean(tiles: list[Image]) -> Tensor:
    """The 80 tiles in [-1, 1], of which the first 48 were trained on; [80, 3, 16, 16]."""
    images = torch.stack([torch.from_numpy(tile.copy()) for tile in tiles])
    return images.permute(0, 3, 1, 2) / 127.5 - 1


@pytest.fixture(scope="session")
def clean(all_clean: Tensor) -> Tensor:
    """32 tiles, of which the first 16 were trained on."""
    return all_clean[32:64]


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny pipeline of a class, written once."""
    from tiny_families import WRITERS  # slow to import

    made: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in made:
            torch.manual_seed(0)
            made[name] = WRITERS[name](tmp_path_factory.mktemp(name))
        return made[name]

    return get


@pytest.fixture(scope="session")
def tiny_pipeline(tiny_folder: Callable[[str], Path]) -> Callable[[str], LatentDenoiser]:
    """A tiny pipeline of a class, opened once; it is copied before it is changed."""
    made: dict[str, LatentDenoiser] = {}

    def get(name: str) -> LatentDenoiser:
        if name not in made:
            options = ModelOptions(resolution=32)
            denoiser = load_model(str(tiny_folder(name)), options).denoiser
            assert isinstance(denoiser, LatentDenoiser)
            made[name] = denoiser
        return made[name]

    return get


@pytest.fixture(scope="session")
def of_attention(tiny_pipeline: Callable[[str], LatentDenoiser]) -> Any:
    """Adapters of the attention of a tiny Stable Diffusion."""
    from lora_files import changes_of, layers_of

    layers = layers_of(tiny_pipeline("StableDiffusionPipeline").backbone.network)
    return changes_of({name: one for name, one in layers.items() if name.endswith("to_q")})


@pytest.fixture
def refused(tiny_pipeline: Callable[[str], LatentDenoiser], tmp_path: Path) -> Callable[..., None]:
    """Expect of a file of these tensors that it is refused with these words."""
    from lora_files import with_file, write

    def expect(
        tensors: dict[str, Tensor],
        words: str,
        name: str = "StableDiffusionPipeline",
        **metadata: object,
    ) -> None:
        file = write(tmp_path / "style.safetensors", tensors, **metadata)
        with pytest.raises(ModelError, match=words):
            with_file(tiny_pipeline(name), file)

    return expect

"""Training on masked images: masks, what is kept of them, and how such a model is opened."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from memaudit.audit import scan
from memaudit.config import Mask, MaskKind, Noise, ScanConfig, TrainConfig
from memaudit.corruption.linear import Cosines, Seen, View
from memaudit.corruption.mask import draw_mask
from memaudit.data import image_id
from memaudit.errors import ModelError
from memaudit.models.load import load_model
from memaudit.models.loaded import ModelOptions
from memaudit.models.pixel import PixelDenoiser
from memaudit.records import Image
from memaudit.train.corrupted import frozen_masks, masks_on_top
from memaudit.train.loop import train

WriteFolder = Callable[[str, list[Image]], Path]
both_kinds = pytest.mark.parametrize("kind", ["pixels", "boxes"])


@pytest.fixture
def config(tiles: list[Image], write_folder: WriteFolder, tmp_path: Path) -> TrainConfig:
    return TrainConfig(
        dataset=str(write_folder("data", tiles[:10])),
        out=str(tmp_path / "model"),
        loss="ambient-mask",
        mask=Mask("pixels"),
        resolution=16,
        channels=(8, 16),
        steps=6,
        batch_size=4,
        warmup=2,
        save_every=3,
        device="cpu",
    )


def opened(out: Path) -> PixelDenoiser:
    denoiser = load_model(str(out), ModelOptions()).denoiser
    assert isinstance(denoiser, PixelDenoiser)
    return denoiser


@both_kinds
@pytest.mark.parametrize("share", [0.1, 0.25])
def test_masks_hide_the_share_that_was_asked_for(kind: MaskKind, share: float) -> None:
    generator = np.random.default_rng(0)
    masks = torch.stack([draw_mask(generator, kind, share, (32, 32)) for _ in range(200)])
    assert masks.shape == (200, 1, 32, 32)
    assert set(masks.unique().tolist()) == {0, 1}
    assert float(1 - masks.mean()) == pytest.approx(share, rel=0.05)


def test_a_box_is_one_square_and_lies_anywhere() -> None:
    generator = np.random.default_rng(0)
    masks = [draw_mask(generator, "boxes", 0.25, (8, 8))[0] == 0 for _ in range(600)]
    for hidden in masks:
        rows, columns = hidden.any(1), hidden.any(0)
        assert (int(rows.sum()), int(columns.sum()), int(hidden.sum())) == (4, 4, 16)
    seen, hidden = torch.stack(masks).any(0), torch.stack([~m for m in masks]).any(0)
    assert bool(seen.all())  # each pixel is hidden in some
    assert bool(hidden.all())  # and seen in some


@both_kinds
def test_the_mask_of_an_image_is_frozen_and_what_is_hidden_on_top_is_not(
    config: TrainConfig, kind: MaskKind
) -> None:
    config = replace(config, mask=Mask(kind))
    ids = ["a", "b", "c", "d"]
    masks = frozen_masks(config, ids)
    assert torch.equal(masks[2:], frozen_masks(replace(config, out="x", steps=9), ids[2:]))
    assert not torch.equal(masks[0], masks[1])
    assert not torch.equal(masks, frozen_masks(replace(config, seed=1), ids))
    on_top = masks_on_top(config, 3, slice(0, 4))
    assert torch.equal(on_top[1:3], masks_on_top(config, 3, slice(1, 3)))
    assert not torch.equal(on_top, masks_on_top(config, 4, slice(0, 4)))


@both_kinds
def test_masks_are_kept_and_the_model_says_so(
    config: TrainConfig, kind: MaskKind, tiles: list[Image]
) -> None:
    config = replace(config, mask=Mask(kind))
    out = train(config)
    parts = [load_file(path) for path in sorted((out / "masks").iterdir())]
    kept = {name: mask for part in parts for name, mask in part.items()}
    ids = [image_id(tile) for tile in tiles[:10]]
    assert sorted(kept) == sorted(ids)
    assert torch.equal(torch.stack([kept[name] for name in ids]), frozen_masks(config, ids).byte())
    assert not (out / "noisy").exists()
    record = json.loads((out / "ambient.json").read_text())
    assert record["mask"] == {"kind": kind, "share": 0.2, "further": None}
    assert record["sample_from"] is None


def test_the_network_has_a_channel_for_the_mask(config: TrainConfig) -> None:
    out = train(config)
    network = json.loads((out / "unet" / "config.json").read_text())
    assert (network["in_channels"], network["out_channels"]) == (4, 3)
    assert opened(out).shape == (3, 16, 16)


def test_the_model_is_asked_through_one_mask_of_the_trained_kind(config: TrainConfig) -> None:
    """And the answer depends on what that mask shows alone."""
    out = train(config)
    denoiser = opened(out)
    assert denoiser.mask is not None
    assert torch.equal(denoiser.mask, opened(out).mask)
    assert float(denoiser.mask.mean()) == pytest.approx(0.8 * 0.9, abs=0.06)
    said = load_model(str(out), ModelOptions()).provenance.mask
    assert f"shows {float(denoiser.mask.mean()):.3f} of each" in said
    x, sigma = torch.randn(2, 3, 16, 16), torch.tensor([0.5, 2.0])
    other = torch.where(denoiser.mask > 0, x, torch.randn(x.shape))
    ours, theirs = (denoiser.denoise(one, sigma) for one in (x, other))
    assert torch.equal(ours, theirs)
    assert not torch.equal(ours, denoiser.seeing(torch.ones_like(denoiser.mask)).denoise(x, sigma))


def test_an_interrupted_training_ends_in_the_same_weights(config: TrainConfig) -> None:
    other = replace(config, out=f"{config.out}-interrupted")

    def interrupt(_: str, step: int, __: int) -> None:
        if step == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(other, interrupt)
    ours, theirs = (
        load_file(train(one) / "unet" / "diffusion_pytorch_model.safetensors")
        for one in (config, other)
    )
    assert all(torch.equal(theirs[name], tensor) for name, tensor in ours.items())


def test_four_channels_without_a_record_are_refused(config: TrainConfig) -> None:
    out = train(config)
    (out / "ambient.json").unlink()
    with pytest.raises(ModelError, match="maps 4 channels to 3"):
        load_model(str(out), ModelOptions())


def test_a_scan_needs_nothing_but_the_model(
    config: TrainConfig, tiles: list[Image], write_folder: WriteFolder, tmp_path: Path
) -> None:
    out = train(replace(config, sample_every=3))
    assert (out / "samples" / "step-00000006.png").is_file()
    for path in (out / "masks").iterdir():
        path.unlink()
    result = scan(
        ScanConfig(
            model=str(out),
            dataset=config.dataset,
            controls=str(write_folder("controls", tiles[10:50])),
            out=str(tmp_path / "run"),
            embedder="pixels",
            noise=Noise(sigmas=(0.5, 1.0), draws=1),
            attacks=("none",),
            self_check=False,
            steps=2,
            images=0,
            device="cpu",
        )
    )
    assert set(result.scores["level"]) == {0.5, 1.0}
    assert result.summary.conduct.power is not None  # of the memorizer that sees as much
    assert "one mask of the trained kind" in str(result.prepared.model.mask)


def test_such_a_model_is_told_what_a_mask_hides_and_asked_once(config: TrainConfig) -> None:
    denoiser = opened(train(config))
    x0 = torch.rand(2, *denoiser.shape, generator=torch.Generator().manual_seed(1)) * 2 - 1
    gain = torch.ones(2, 1, *denoiser.shape[1:])
    gain[..., 3:] = 0
    noise = torch.randn(x0.shape, generator=torch.Generator().manual_seed(2))
    seen = Seen.of(x0, View(gain, Cosines()), 0.1, noise)
    told = denoiser.given(seen)
    x, sigma = torch.randn(x0.shape), torch.full((2,), 3.0)
    found = told.denoise(x, sigma)
    torch.testing.assert_close(
        found, denoiser.seeing(gain).denoise(seen.only(), torch.full((2,), 0.1))
    )
    assert torch.equal(found, told.denoise(x + 1, sigma / 2))
    blurred = Seen(seen.y, View(gain, Cosines(*denoiser.shape[1:])), 0.1)
    assert denoiser.given(blurred) is None

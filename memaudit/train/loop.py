"""Train a pixel UNet from scratch; interrupted and started again it ends in the same weights."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from torch import Tensor

from memaudit.config import TrainConfig, digest
from memaudit.errors import ConfigError, TrainingDivergedError
from memaudit.models.device import resolve_device
from memaudit.models.load import wrap
from memaudit.models.pixel import PixelDenoiser
from memaudit.models.schedule import Schedule
from memaudit.progress import Progress, silent
from memaudit.train import checkpoint
from memaudit.train.images import TrainingImages
from memaudit.train.losses import LOSSES, Batch
from memaudit.train.noisy import frozen_noise, write_noisy_copies, write_record

LOG_EVERY = 50
ABOVE = 1.001  # times sigma_n: where its own noise is all there is, nothing can be learned


def train(config: TrainConfig, progress: Progress = silent) -> Path:
    """Train, and write a diffusers pipeline (safetensors) of the averaged weights to `out`.

    Everything random is a function of (seed, step), so a resumed run repeats nothing. Raises
    TrainingDivergedError if the loss stops being finite; the last checkpoint stays.
    """
    out = Path(config.out)
    device = resolve_device(config.device)
    images = TrainingImages(config)
    network, scheduler = _build(config)
    network.to(device, memory_format=torch.channels_last).train()
    state = checkpoint.make_state(network, config.lr, config.weight_decay, config.ema)
    key = digest([config.digest, len(images)])
    start = checkpoint.restore(out / "checkpoints", key, state)
    denoiser = wrap(network, {**scheduler.config, "clip_sample": False})
    _lowest_step(config, denoiser.reading.schedule)
    if config.loss != "clean":
        write_noisy_copies(config, images)
    log = _LossLog(out / "loss.csv", start)
    for step in range(start, config.steps):
        loss = _step(config, step, denoiser, images, state)
        progress("train", step + 1, config.steps)
        log.add(step + 1, loss)
        if (step + 1) % config.save_every == 0 or step + 1 == config.steps:
            log.flush(step + 1)
            checkpoint.save(out / "checkpoints", step + 1, key, state)
    network.load_state_dict(state.average.module.state_dict())
    DDPMPipeline(unet=network.eval().cpu(), scheduler=scheduler).save_pretrained(out)
    if config.loss != "clean":
        write_record(config)
    return out


def _build(config: TrainConfig) -> tuple[UNet2DModel, DDPMScheduler]:
    torch.manual_seed(config.seed)
    deepest = len(config.channels) - 1
    network = UNet2DModel(
        sample_size=config.resolution,
        in_channels=3,
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


def _step(
    config: TrainConfig,
    step: int,
    denoiser: PixelDenoiser,
    images: TrainingImages,
    state: checkpoint.TrainingState,
) -> float:
    torch.manual_seed(_seed(config.seed, step))
    loss = LOSSES[config.loss](denoiser.denoise, _batch(config, step, denoiser, images))
    for group in state.optimizer.param_groups:
        group["lr"] = config.lr * _lr_factor(step, config)
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    slope = torch.nn.utils.clip_grad_norm_(state.network.parameters(), 1.0)
    if not bool(torch.isfinite(loss + slope)):
        raise TrainingDivergedError(
            f"the loss is {float(loss.detach())} and its gradient {float(slope)} at step "
            f"{step + 1}; the last checkpoint is kept. Try a lower --lr than {config.lr}, with "
            "another --out"
        )
    state.optimizer.step()
    state.average.update_parameters(state.network)
    return float(loss.detach())


def _batch(
    config: TrainConfig, step: int, denoiser: PixelDenoiser, images: TrainingImages
) -> Batch:
    rows = _rows(config, step, len(images))
    x0 = denoiser.encode(torch.stack([images[k] for k in rows]))
    frozen = torch.zeros_like(x0)
    if config.sigma_n is not None:
        frozen = frozen_noise(config, [images.ids[k] for k in rows]).to(x0.device)
    if config.flip:
        mirrored = torch.rand(len(x0), 1, 1, 1).to(x0.device) < 0.5
        x0, frozen = (torch.where(mirrored, one.flip(-1), one) for one in (x0, frozen))
    schedule = denoiser.reading.schedule
    lowest, highest = _lowest_step(config, schedule), len(schedule.log_sigmas) - 1
    sigma = schedule.sigma(lowest + torch.rand(len(x0)) * (highest - lowest)).to(x0.device)
    noise = torch.randn(x0.shape).to(x0.device)
    return Batch(x0, frozen, sigma, noise, config.sigma_n or 0.0)


def _lowest_step(config: TrainConfig, schedule: Schedule) -> float:
    """Step of the schedule from which levels are drawn; an ambient loss needs them above sigma_n.

    Raises ConfigError for a sigma_n outside the schedule.
    """
    if config.sigma_n is None:
        return 0.0
    if not schedule.sigma_min < config.sigma_n < schedule.sigma_max / ABOVE:
        raise ConfigError(
            f"--sigma-n {config.sigma_n:g} is outside the noise of --schedule {config.schedule}, "
            f"{schedule.sigma_min:.4g} to {schedule.sigma_max:.4g}; give one inside"
        )
    if config.loss != "ambient":
        return 0.0
    return float(schedule.timestep(torch.tensor([ABOVE * config.sigma_n])))


def _rows(config: TrainConfig, step: int, images: int) -> list[int]:
    """Which images a step sees: an endless run of shuffled epochs, cut into batches."""
    first = step * config.batch_size
    epochs = range(first // images, (first + config.batch_size - 1) // images + 1)
    order = torch.cat([_shuffled(images, _seed(config.seed, -1 - epoch)) for epoch in epochs])
    rows: list[int] = order[first - epochs[0] * images :][: config.batch_size].tolist()
    return rows


def _shuffled(n: int, seed: int) -> Tensor:
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))


def _lr_factor(step: int, config: TrainConfig) -> float:
    """Linear warm-up, then a cosine to a tenth."""
    if step < config.warmup:
        return (step + 1) / config.warmup
    done = (step - config.warmup) / max(1, config.steps - config.warmup)
    return 0.55 + 0.45 * math.cos(math.pi * done)


def _seed(seed: int, step: int) -> int:
    return int(digest([seed, step])[:15], 16)


class _LossLog:
    """loss.csv: mean loss since the last row, one every 50 steps and at every checkpoint.

    Cut back to the checkpoint on resume, so that it ends as that of an uninterrupted run.
    """

    def __init__(self, path: Path, start: int) -> None:
        self._path = path
        self._rows: list[tuple[int, float]] = []
        self._window: list[float] = []
        if path.is_file():
            with path.open(newline="") as file:
                rows = list(csv.reader(file))[1:]
            self._rows = [(int(s), float(v)) for s, v in rows if int(s) <= start]

    def add(self, step: int, loss: float) -> None:
        self._window.append(loss)
        if step % LOG_EVERY == 0:
            self._close(step)

    def flush(self, step: int) -> None:
        self._close(step)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_suffix(".tmp")
        with temporary.open("w", newline="") as file:
            csv.writer(file).writerows([("step", "loss"), *self._rows])
        temporary.replace(self._path)

    def _close(self, step: int) -> None:
        if self._window:
            self._rows.append((step, sum(self._window) / len(self._window)))
            self._window.clear()

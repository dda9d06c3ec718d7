"""Train a pixel UNet from scratch; interrupted and started again it ends in the same weights."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from diffusers import DDPMPipeline
from torch import Tensor

from memaudit.config import TrainConfig, digest
from memaudit.errors import ConfigError, TrainingDivergedError
from memaudit.models.ambient import RECORD, fixed_mask
from memaudit.models.load import wrap
from memaudit.models.pixel import PixelDenoiser
from memaudit.progress import Progress, silent
from memaudit.reports.files import write_json
from memaudit.train import checkpoint, network
from memaudit.train.batch import Batch
from memaudit.train.consistency import consistency
from memaudit.train.corrupted import record, write_evidence
from memaudit.train.curve import LossLog
from memaudit.train.feed import Feed, lowest_step
from memaudit.train.grids import write_grid
from memaudit.train.images import TrainingImages
from memaudit.train.losses import LOSSES
from memaudit.train.processes import Processes, join


def train(config: TrainConfig, progress: Progress = silent) -> Path:
    """Train, and write a diffusers pipeline (safetensors) of the averaged weights to `out`.

    Everything random is a function of (seed, step, row of the batch), so a resumed run repeats
    nothing and several processes do what one would; the first of them writes. Raises
    TrainingDivergedError if the loss stops being finite; the last checkpoint stays.
    """
    group = join(config.device, config.batch_size)
    try:
        return _train(config, group, progress if group.main else silent)
    finally:
        group.leave()


@dataclass(frozen=True, eq=False)
class _Training:
    """What the steps of a training share."""

    config: TrainConfig
    group: Processes
    state: checkpoint.TrainingState
    denoiser: PixelDenoiser
    feed: Feed


def _train(config: TrainConfig, group: Processes, progress: Progress) -> Path:
    out = Path(config.out)
    rows = group.rows(config.batch_size)
    _check_precision(config, group.device)
    images = TrainingImages(config)
    unet, scheduler = network.build(config)
    unet.to(group.device, memory_format=torch.channels_last).train()
    state = checkpoint.make_state(unet, config.lr, config.weight_decay, config.ema)
    if config.gradient_checkpointing:
        unet.enable_gradient_checkpointing()
    key = digest([config.digest, len(images)])
    start = checkpoint.restore(out / "checkpoints", key, state)
    told = config.loss == "ambient-mask"
    denoiser = wrap(unet, {**scheduler.config, "clip_sample": False}, masked=told)
    lowest_step(config, denoiser.reading.schedule)
    training = _Training(config, group, state, denoiser, Feed(config, images, denoiser, rows))
    if group.main:
        write_evidence(config, images)
    log = LossLog(out / "loss.csv", start)
    for step in range(start, config.steps):
        log.add(step + 1, _step(training, step))
        progress("train", step + 1, config.steps)
        if group.main and _due(step + 1, config.save_every, config.steps):
            log.flush(step + 1)
            checkpoint.save(out / "checkpoints", step + 1, key, state)
        if group.main and config.sample_every and (step + 1) % config.sample_every == 0:
            _sample(training, step + 1)
    if group.main:
        log.draw()
        unet.load_state_dict(state.average.module.state_dict())
        DDPMPipeline(unet=unet.eval().cpu(), scheduler=scheduler).save_pretrained(out)
        if config.loss != "clean":
            write_json(out / RECORD, record(config).content())
    return out


def _due(step: int, every: int, steps: int) -> bool:
    return step % every == 0 or step == steps


def _step(training: _Training, step: int) -> float:
    config, state, group = training.config, training.state, training.group
    with _arithmetic(config, group.device):
        loss = _loss(training, step, training.feed.batch(step))
    for options in state.optimizer.param_groups:
        options["lr"] = config.lr * _lr_factor(step, config)
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    parameters = list(state.network.parameters())
    seen = loss.detach().clone()
    group.average([seen, *(p.grad for p in parameters if p.grad is not None)])
    slope = torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    if not bool(torch.isfinite(seen + slope)):
        raise TrainingDivergedError(
            f"the loss is {float(seen)} and its gradient {float(slope)} at step "
            f"{step + 1}; the last checkpoint is kept. Try a lower --lr than {config.lr}, with "
            "another --out"
        )
    state.optimizer.step()
    state.average.update_parameters(state.network)
    return float(seen)


def _loss(training: _Training, step: int, batch: Batch) -> Tensor:
    config, denoiser = training.config, training.denoiser
    if config.loss == "ambient-mask":
        denoiser = denoiser.seeing(batch.further)
    loss = LOSSES[config.loss](denoiser.denoise, batch)
    term = config.consistency
    if term.weight and step >= term.start:
        lowest = denoiser.reading.schedule.sigma_min
        loss = loss + term.weight * consistency(denoiser.denoise, batch, lowest, term.samples)
    return loss


def _arithmetic(config: TrainConfig, device: torch.device) -> AbstractContextManager[object]:
    """Where the network computes in bfloat16; weights, noise and losses stay float32."""
    if config.precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def _check_precision(config: TrainConfig, device: torch.device) -> None:
    if config.precision != "float32" and device.type == "cpu":
        raise ConfigError(
            f"--precision {config.precision} needs a GPU, and this training runs on the CPU; "
            "leave it out"
        )


def _sample(training: _Training, step: int) -> None:
    """Write samples/step-*.png with the averaged weights, as the finished model would sample."""
    config, ambient = training.config, record(training.config)
    average = replace(
        training.denoiser,
        network=training.state.average.module,
        lowest=None if config.loss == "clean" else ambient.lowest,
        clip=1.0,
        mask=fixed_mask(ambient, training.denoiser),
    )
    path = Path(config.out) / "samples" / f"step-{step:08d}.png"
    write_grid(path, average, config.seed)


def _lr_factor(step: int, config: TrainConfig) -> float:
    """Linear warm-up, then a cosine to a tenth."""
    if step < config.warmup:
        return (step + 1) / config.warmup
    done = (step - config.warmup) / max(1, config.steps - config.warmup)
    return 0.55 + 0.45 * math.cos(math.pi * done)

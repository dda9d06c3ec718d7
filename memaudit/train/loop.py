"""The training loop; interrupted and started again it ends in the same weights."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from memaudit.config import TrainConfig, keep_apart
from memaudit.errors import ConfigError, TrainingDivergedError
from memaudit.files import write_json
from memaudit.models.ambient import RECORD
from memaudit.progress import Progress, remark, silent
from memaudit.train import checkpoint, folder
from memaudit.train.batch import Batch
from memaudit.train.consistency import consistency
from memaudit.train.corrupted import lowest, record, write_evidence
from memaudit.train.curve import LossLog
from memaudit.train.feed import Feed, lowest_step
from memaudit.train.grids import write_grid
from memaudit.train.images import TrainingImages
from memaudit.train.learner import Learner
from memaudit.train.losses import LOSSES
from memaudit.train.processes import Processes, join
from memaudit.train.scratch import from_scratch


def train(config: TrainConfig, progress: Progress = silent) -> Path:
    """Train, and write the averaged weights to `out`: a diffusers pipeline, or LoRA adapters.

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
    key: str
    group: Processes
    state: checkpoint.TrainingState
    learner: Learner
    feed: Feed


def _train(config: TrainConfig, group: Processes, progress: Progress) -> Path:
    out = Path(config.out)
    keep_apart("--out", config.out, config.dataset)
    _check_precision(config, group.device)
    rows = group.rows(config.batch_size)
    asked = config
    learner = _learner(config, group.device)
    config = _settled(config, learner)
    images = TrainingImages(config)
    if config.base is not None:  # its network is told captions
        said = images.expect_captions(config.data.caption_column)
        if said and group.main:
            remark(said)
    state = checkpoint.make_state(learner.weights, config.lr, config.weight_decay, config.ema)
    key = folder.key_of(asked, images)
    begun = folder.check(out, key)
    start = checkpoint.restore(out, key, state)
    if group.main and not begun:
        folder.begin(out, key, asked, images)
    feed = Feed(config, images, learner.denoiser, learner.schedule, rows)
    training = _Training(config, key, group, state, learner, feed)
    if group.main:
        write_evidence(config, images.ids, feed.clean)
    _run(training, start, progress)
    if group.main:
        learner.save(state.average, out)
        if config.loss != "clean":
            write_json(out / RECORD, record(config).content())
    return out


def _run(training: _Training, start: int, progress: Progress) -> None:
    """Take all steps from `start`; the first process logs, saves and shows them."""
    config, out, main = training.config, Path(training.config.out), training.group.main
    log = LossLog(out / "loss.csv", start)
    for step in range(start, config.steps):
        try:
            log.add(step + 1, _step(training, step))
        except TrainingDivergedError as error:
            if main:
                log.flush(step)
                log.draw()
            raise TrainingDivergedError(f"{error} {checkpoint.kept(out)}") from error
        progress("train", step + 1, config.steps)
        if main and _due(step + 1, config.save_every, config.steps):
            log.flush(step + 1)
            checkpoint.save(out, step + 1, training.key, training.state)
        if main and config.sample_every and (step + 1) % config.sample_every == 0:
            _show(training, out / "samples" / f"step-{step + 1:08d}.png")
    if main:
        log.draw()


def _show(training: _Training, path: Path) -> None:
    """Write samples of the model as it would be finished now."""
    config, state = training.config, training.state
    with training.learner.averaged(state.average, lowest(config)) as finished:
        write_grid(path, finished, config.seed)


def _learner(config: TrainConfig, device: torch.device) -> Learner:
    if config.base is None:
        return from_scratch(config, device)
    from memaudit.train.lora import adapt  # peft is slow to import

    return adapt(config.base, config, device)


def _settled(config: TrainConfig, learner: Learner) -> TrainConfig:
    """Fill in what the network decides: the size of the images, the noise of a time step."""
    sigma_n = config.sigma_n
    if config.timestep_n is not None:
        sigma_n = learner.schedule.sigma_of_timestep(config.timestep_n)
    side = learner.denoiser.resolution[0]
    settled = replace(config, resolution=side, sigma_n=sigma_n, timestep_n=None)
    lowest_step(settled, learner.schedule)
    return settled


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
    parameters = list(training.learner.weights.parameters())
    seen = loss.detach().clone()
    group.average([seen, *(p.grad for p in parameters if p.grad is not None)])
    slope = torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    if not bool(torch.isfinite(seen + slope)):
        raise TrainingDivergedError(
            f"the loss is {float(seen)} and its gradient {float(slope)} at step "
            f"{step + 1}. Try a lower --lr than {config.lr}, with another --out."
        )
    state.optimizer.step()
    state.average.update_parameters(state.network)
    return float(seen)


def _loss(training: _Training, step: int, batch: Batch) -> Tensor:
    config, learner = training.config, training.learner
    h = learner.estimate(batch)
    loss = LOSSES[config.loss](h, batch)
    term = config.consistency
    if term.weight and step >= term.start:
        end = learner.schedule.sigma_min
        loss = loss + term.weight * consistency(h, batch, end, term.samples)
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


def _lr_factor(step: int, config: TrainConfig) -> float:
    """Linear warm-up, then a cosine to a tenth."""
    if step < config.warmup:
        return (step + 1) / config.warmup
    done = (step - config.warmup) / max(1, config.steps - config.warmup)
    return 0.55 + 0.45 * math.cos(math.pi * done)

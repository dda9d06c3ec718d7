"""LoRA adapters for the UNet of a text-to-image pipeline (Hu et al. 2021, arXiv 2106.09685)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoraConfig, get_peft_model_state_dict
from torch import nn
from torch.optim.swa_utils import AveragedModel

from memaudit.config import Base, TrainConfig, absolute
from memaudit.errors import ModelError
from memaudit.files import write_json
from memaudit.models.denoiser import Denoiser
from memaudit.models.families.lora import RECORD
from memaudit.models.families.stable_diffusion import load_latent
from memaudit.models.inpainting import InpaintingDenoiser
from memaudit.models.latent import LatentDenoiser
from memaudit.models.loaded import ModelOptions
from memaudit.models.locate import locate
from memaudit.models.schedule import Schedule, schedule_from_config
from memaudit.train.batch import Batch, Estimate

TARGETS = ("to_q", "to_k", "to_v", "to_out.0")  # of every attention layer


@dataclass(frozen=True, eq=False)
class Lora:
    """A learner (see Learner): adapters inside a UNet whose own weights stay as they are."""

    base: Base
    weights: nn.ParameterList
    denoiser: LatentDenoiser

    @property
    def schedule(self) -> Schedule:
        """The noise schedule of the base."""
        return schedule_from_config(self.denoiser.pipeline.scheduler.config)

    def estimate(self, batch: Batch) -> Estimate:
        """The UNet, told the captions of a batch."""
        return partial(self.denoiser.denoise, prompts=batch.prompts)

    @contextmanager
    def averaged(self, average: AveragedModel, lowest: float | None) -> Iterator[Denoiser]:
        """The pipeline with the averaged adapters, as the finished model samples."""
        moving = [weight.detach().clone() for weight in self.weights]
        self._set(average.module)
        try:
            yield replace(self.denoiser, lowest=lowest)
        finally:
            self._set(moving)

    def save(self, average: AveragedModel, out: Path) -> None:
        """Write the adapters as diffusers loads them, and which base they belong to."""
        self._set(average.module)
        pipeline: Any = self.denoiser.pipeline
        layers = convert_state_dict_to_diffusers(get_peft_model_state_dict(pipeline.unet))
        pipeline.save_lora_weights(out, unet_lora_layers=layers, safe_serialization=True)
        write_json(out / RECORD, self._record())

    def _record(self) -> dict[str, Any]:
        """Which base the adapters belong to, wherever they are opened from."""
        base = asdict(replace(self.base, model=str(absolute(self.base.model))))
        return {"pipeline": type(self.denoiser.pipeline).__name__, **base}

    @torch.no_grad()
    def _set(self, values: Any) -> None:
        for weight, value in zip(self.weights, values, strict=True):
            weight.copy_(value)


def adapt(base: Base, config: TrainConfig, device: torch.device) -> Lora:
    """Open a base and put adapters into its UNet; what they begin with is a function of the seed.

    With --precision bfloat16 the base is held in bfloat16 (but for its VAE), the adapters are not.
    """
    options = ModelOptions(
        revision=base.revision,
        variant=base.variant,
        dtype=config.precision,
        device=str(device),
        resolution=config.resolution,
        weights="plain",
    )
    denoiser = load_latent(locate(base.model, options)[0], options)
    if isinstance(denoiser, InpaintingDenoiser):
        raise ModelError(
            f"{base.model} is a model for inpainting, and adapters are trained for text-to-image "
            "models; give the folder of one"
        )
    unet: Any = denoiser.pipeline.unet
    torch.manual_seed(config.seed)
    unet.add_adapter(
        LoraConfig(
            r=base.rank,
            lora_alpha=base.rank,
            init_lora_weights="gaussian",
            target_modules=list(TARGETS),
        )
    )
    unet.train()
    if config.gradient_checkpointing:
        unet.enable_gradient_checkpointing()
    return Lora(base, nn.ParameterList(_trained(unet)), denoiser)


def _trained(unet: nn.Module) -> list[nn.Parameter]:
    """The adapters' weights, in float32."""
    found = [weight for weight in unet.parameters() if weight.requires_grad]
    for weight in found:
        weight.data = weight.data.float()
    return found

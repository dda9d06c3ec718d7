"""How much of a GPU's time is the network's? Models of published sizes with random weights.

    python benchmarks/gpu.py [--tiny] [NAME ...]

Stable Diffusion 1.5, XL, 3 (medium) and FLUX.1 (dev) are made on the device in bfloat16, at their
own resolution, and asked for ten batches: by their network alone (the floor), and by `denoise`,
images encoded and decoded by the VAE beside it. Prints images a second of each, the share of the
floor in the time of `denoise`, and the peak of memory, with the device's name. Expected: a share of
at least .95 on a GPU. `--tiny` shrinks every network, to try the script on a CPU; no figure of it
means anything. It was never run on a GPU yet.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
    UNet2DConditionModel,
)
from torch import Tensor

from memaudit.models.codec import LatentCodec
from memaudit.models.families import flux, stable_diffusion, stable_diffusion_3
from memaudit.models.flow import flow_matching
from memaudit.models.latent import Backbone, LatentDenoiser, Told
from memaudit.models.parameterization import variance_preserving
from memaudit.models.vae import KlVae

CALLS, WARM = 10, 3
TOLD = 77  # tokens of a caption, of CLIP alone
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
DTYPE = torch.bfloat16 if DEVICE.type == "cuda" else torch.float32
BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


@dataclass(frozen=True)
class Size:
    """A model: its network, how it is asked, its side in pixels, its batch, channels of latents."""

    network: Callable[[bool], Any]
    backbone: Callable[[Any], Backbone]
    told: Callable[[Any], Told]
    side: int
    batch: int
    channels: int
    flows: bool


def main() -> int:
    tiny = "--tiny" in sys.argv
    names = [name for name in sys.argv[1:] if not name.startswith("-")] or list(SIZES)
    device = torch.cuda.get_device_name() if DEVICE.type == "cuda" else "the CPU"
    print(f"on {device}, {DTYPE}, torch {torch.__version__}", flush=True)
    shares = [measured(name, SIZES[name], tiny) for name in names]
    ok = tiny or DEVICE.type == "cpu" or min(shares) >= 0.95
    print("as expected" if ok else "NOT as expected")
    return 0 if ok else 1


@torch.inference_mode()
def measured(name: str, size: Size, tiny: bool) -> float:
    """Time a model, print its figures, and return the network's share of the time of `denoise`."""
    denoiser = opened(size, tiny)
    batch = 2 if tiny else size.batch
    images = torch.randint(0, 256, (batch, 3, *denoiser.resolution), dtype=torch.uint8)
    x = torch.randn((batch, *denoiser.shape), device=DEVICE)
    sigma = torch.full((batch,), 2.0, device=DEVICE)
    told, time_ = [denoiser._captions[""]] * batch, torch.full((batch,), 0.5, device=DEVICE)
    floor = seconds(lambda: denoiser.backbone.ask(x.to(DTYPE), time_, told))
    whole = seconds(lambda: denoiser.denoise(x, sigma))
    vae = seconds(lambda: denoiser.decode(denoiser.encode(images)))
    peak = torch.cuda.max_memory_allocated() / 2**30 if DEVICE.type == "cuda" else float("nan")
    parameters = sum(p.numel() for p in denoiser.backbone.network.parameters())
    print(
        f"{name}: {parameters / 1e9:.2f} B parameters, {denoiser.resolution[0]} px, batch {batch}: "
        f"network {batch / floor:.2f} images/s, denoise {batch / whole:.2f} (share of the floor "
        f"{floor / whole:.3f}), VAE there and back {batch / vae:.2f}, peak {peak:.1f} GiB",
        flush=True,
    )
    if DEVICE.type == "cuda":
        del denoiser
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    return floor / whole


def opened(size: Size, tiny: bool) -> LatentDenoiser:
    """A denoiser around random weights, told an empty caption of random numbers."""
    with DEVICE:
        network = size.network(tiny).to(DTYPE).eval()
        widths = (32, 32, 32, 32) if tiny else (128, 256, 512, 512)
        vae = AutoencoderKL(
            block_out_channels=widths,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
            latent_channels=size.channels,
        ).eval()
    pipeline = SimpleNamespace(
        vae=vae,
        vae_scale_factor=8,
        unet=network,
        transformer=network,
        _pack_latents=FluxPipeline._pack_latents,
        _unpack_latents=FluxPipeline._unpack_latents,
        _prepare_latent_image_ids=FluxPipeline._prepare_latent_image_ids,
    )
    side = 128 if tiny else size.side
    reading: Any = flow_matching(FlowMatchEulerDiscreteScheduler())
    if not size.flows:
        reading = variance_preserving(DDIMScheduler(**BETAS).config)
    denoiser = LatentDenoiser(
        codec=LatentCodec(KlVae(vae), (side, side)),
        parameterization=reading,
        backbone=size.backbone(pipeline),
    )
    denoiser._captions[""] = size.told(network.config)
    return denoiser


def seconds(call: Callable[[], Any]) -> float:
    """Of one call, by the median of ten after three that are not counted."""
    taken = []
    for _ in range(WARM + CALLS):
        wait()
        begun = time.perf_counter()
        call()
        wait()
        taken.append(time.perf_counter() - begun)
    return sorted(taken[WARM:])[CALLS // 2]


def wait() -> None:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def random(*shape: int) -> Tensor:
    return torch.randn(shape, device=DEVICE, dtype=DTYPE)


def sd15(tiny: bool) -> Any:
    small = {"block_out_channels": (32, 32, 32, 32), "norm_num_groups": 8} if tiny else {}
    return UNet2DConditionModel(
        sample_size=64, cross_attention_dim=768, attention_head_dim=8, **small
    )


def sdxl(tiny: bool) -> Any:
    return UNet2DConditionModel(
        sample_size=128,
        block_out_channels=(32, 32, 32) if tiny else (320, 640, 1280),
        norm_num_groups=8 if tiny else 32,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=1 if tiny else (1, 2, 10),
        attention_head_dim=8 if tiny else (5, 10, 20),
        cross_attention_dim=2048,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816,
    )


def sd3(tiny: bool) -> Any:
    layers = 1 if tiny else 24
    return SD3Transformer2DModel(
        num_layers=layers,
        num_attention_heads=layers,
        caption_projection_dim=64 * layers,
        pos_embed_max_size=192,
    )


def flux_dev(tiny: bool) -> Any:
    small = {"num_layers": 1, "num_single_layers": 1, "num_attention_heads": 1} if tiny else {}
    return FluxTransformer2DModel(guidance_embeds=True, **small)


def told_tokens(config: Any) -> Told:
    return {"tokens": random(TOLD, config.cross_attention_dim)}


def told_xl(config: Any) -> Told:
    return {**told_tokens(config), "pooled": random(1280)}


def told_sd3(config: Any) -> Told:
    tokens = random(TOLD + 256, config.joint_attention_dim)
    pooled = random(config.pooled_projection_dim)
    return {"encoder_hidden_states": tokens, "pooled_projections": pooled}


def told_flux(config: Any) -> Told:
    tokens, pooled = random(512, config.joint_attention_dim), random(config.pooled_projection_dim)
    places = torch.zeros(512, 3, device=DEVICE, dtype=DTYPE)
    return {"tokens": tokens, "pooled": pooled, "places": places}


SIZES = {
    "sd15": Size(sd15, stable_diffusion.Unet, told_tokens, 512, 16, 4, flows=False),
    "sdxl": Size(sdxl, stable_diffusion.Unet, told_xl, 1024, 8, 4, flows=False),
    "sd3": Size(sd3, stable_diffusion_3.Transformer, told_sd3, 1024, 8, 16, flows=True),
    "flux": Size(flux_dev, flux.Packed, told_flux, 1024, 4, 16, flows=True),
}

if __name__ == "__main__":
    sys.exit(main())

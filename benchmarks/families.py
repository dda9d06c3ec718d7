"""Does a scan find what latent diffusion and flow matching have memorized, and clear their twins?

    python benchmarks/families.py [FOLDER]

Trains two small models and their twins on tiles of the demo, over the latents of one VAE that was
trained on all tiles alike: an unconditional latent diffusion model (a UNet), and a Stable
Diffusion 3 (a transformer, flow matching, empty captions, no T5). The overfit ones are trained on
the members, the twins on other tiles, each image 1,000 times. Then all four are scanned with the
defaults, in full and without the power check. Expected: of the overfit ones at least .8 of the
members at a false positive rate of 1 %, and evidence; of the twins an AUC between .35 and .65, and
no evidence. What is finished is kept. Budget: some hours on one core (not yet measured).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    LDMPipeline,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    UNet2DModel,
)
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from transformers import CLIPTextModelWithProjection

from memaudit.audit import scan
from memaudit.cli.progress import bars
from memaudit.config import ScanConfig
from memaudit.demo.tiles import write_tiles
from memaudit.statistics.effects import auc
from memaudit.statistics.verdict import Outcome

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from latents import CELLS, batches, descend, encoded, pixels, read, show, trained_vae
from tiny import WIDTH, text_config, write_tokenizer

OUT = Path(__file__).parent / "models" / "families"
SIDES = {"overfit": "members", "twin": "others"}
STEPS, RATE = 2500, 1e-3
BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


@dataclass(frozen=True)
class Kind:
    """A pipeline around a VAE that is to be trained, its network, and its loss on latents."""

    pipeline: Callable[[AutoencoderKL, Path], Any]
    network: Callable[[Any], nn.Module]
    loss: Callable[[Any, Tensor], Tensor]


def main() -> int:
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else OUT
    folders = write_tiles(out / "images")
    vae = trained_vae(out / "vae")
    ok = True
    for name, kind in KINDS.items():
        for role, side in SIDES.items():
            model = trained(out / f"{name}-{role}", vae, kind, folders[side])
            ok &= scanned(model, folders, out / f"scan-{name}-{role}", role)
    print("as expected" if ok else "NOT as expected")
    return 0 if ok else 1


def trained(folder: Path, vae: AutoencoderKL, kind: Kind, images: Path) -> Path:
    """A pipeline of the images of a folder, or the one that is there."""
    if (folder / "model_index.json").is_file():
        return folder
    torch.manual_seed(0)
    pipeline = kind.pipeline(vae, folder)
    network = kind.network(pipeline).to(memory_format=torch.channels_last).train()
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.999))
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE)
    with torch.no_grad():
        latents = encoded(vae, pixels(read(images)))
    for step, batch in enumerate(batches(len(latents), STEPS)):
        error = kind.loss(pipeline, latents[batch])
        descend(optimizer, error, step, STEPS, RATE)
        average.update_parameters(network)
        show(folder.name, step, STEPS, error)
    network.load_state_dict(average.module.state_dict())
    pipeline.save_pretrained(folder)
    return folder


def scanned(model: Path, folders: dict[str, Path], run: Path, role: str) -> bool:
    """Scan a model, print what was found, and say whether it was expected."""
    config = ScanConfig(
        model=str(model),
        dataset=str(folders["members"]),
        controls=str(folders["controls"]),
        out=str(run),
        adaptive=False,
        embedder="sscd-distilled",
        power=False,  # which is that of the images, whatever the model
    )
    with bars() as progress:
        result = scan(config, progress)
    by_side = {side: rows["score"].to_numpy() for side, rows in result.findings.groupby("split")}
    members, controls = by_side["member"], by_side["control"]
    tpr = float((members > np.quantile(controls, 0.99, method="higher")).mean())
    area, verdict = auc(members, controls), result.summary.verdict
    flagged = int(result.findings.query("split == 'member'")["flagged"].sum())
    copies = int(result.findings.query("split == 'member'")["reproduction_flagged"].sum())
    print(
        f"{model.name}: AUC {area:.3f}, TPR at 1 % FPR {tpr:.3f}, {flagged} of {len(members)} "
        f"flagged, {copies} by reproduction: {verdict.sentence}",
        flush=True,
    )
    evidence = verdict.outcome is Outcome.EVIDENCE
    return evidence and tpr >= 0.8 if role == "overfit" else not evidence and 0.35 < area < 0.65


def ldm(vae: AutoencoderKL, _: Path) -> Any:
    unet = UNet2DModel(
        sample_size=CELLS,
        in_channels=4,
        out_channels=4,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=8,
        norm_num_groups=16,
    )
    scheduler = DDIMScheduler(**BETAS, clip_sample=False, prediction_type="v_prediction")
    return LDMPipeline(vqvae=vae, unet=unet, scheduler=scheduler)


def loss_of_v(pipeline: Any, latents: Tensor) -> Tensor:
    noise, times = torch.randn_like(latents), torch.randint(0, 1000, (len(latents),))
    x_t = pipeline.scheduler.add_noise(latents, noise, times)
    velocity = pipeline.scheduler.get_velocity(latents, noise, times)
    x_t = x_t.contiguous(memory_format=torch.channels_last)
    return mse_loss(pipeline.unet(x_t, times).sample, velocity)


def sd3(vae: AutoencoderKL, folder: Path) -> Any:
    tokenizer = write_tokenizer(folder / "tokenizer")
    return StableDiffusion3Pipeline(
        vae=vae,
        text_encoder=CLIPTextModelWithProjection(text_config()).eval(),
        text_encoder_2=CLIPTextModelWithProjection(text_config()).eval(),
        text_encoder_3=None,
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        tokenizer_3=None,
        transformer=SD3Transformer2DModel(
            sample_size=CELLS,
            patch_size=2,
            in_channels=4,
            out_channels=4,
            num_layers=4,
            attention_head_dim=32,
            num_attention_heads=4,
            joint_attention_dim=2 * WIDTH,
            caption_projection_dim=128,
            pooled_projection_dim=2 * WIDTH,
            pos_embed_max_size=CELLS // 2,
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(),
    )


def loss_of_flow(pipeline: Any, latents: Tensor) -> Tensor:
    """At times drawn evenly, or by the logit-normal of Esser et al. 2024, by a coin's throw."""
    count, noise = len(latents), torch.randn_like(latents)
    u = torch.where(torch.rand(count) < 0.5, torch.rand(count), torch.randn(count).sigmoid())
    share = u.view(-1, 1, 1, 1)
    if not hasattr(pipeline, "told"):
        with torch.no_grad():
            tokens, _, pooled, _ = pipeline.encode_prompt(
                "", "", "", device="cpu", do_classifier_free_guidance=False
            )
        pipeline.told = tokens, pooled
    tokens, pooled = pipeline.told
    answer = pipeline.transformer(
        (1 - share) * latents + share * noise,
        encoder_hidden_states=tokens.expand(count, -1, -1),
        pooled_projections=pooled.expand(count, -1),
        timestep=1000 * u,
        return_dict=False,
    )[0]
    return mse_loss(answer, noise - latents)


KINDS = {
    "ldm": Kind(ldm, lambda pipeline: pipeline.unet, loss_of_v),
    "sd3": Kind(sd3, lambda pipeline: pipeline.transformer, loss_of_flow),
}

if __name__ == "__main__":
    sys.exit(main())

"""Does a scan find what an inpainting pipeline has memorized, when a part of it is hidden?

    python benchmarks/inpainting.py [FOLDER]

Trains two small Stable Diffusion inpainting pipelines on tiles of the demo, under masks of which a
quarter hides all, and the others a box or pixels: one on the members, its twin on other
tiles. Both have one VAE, trained on all tiles alike. Then each is scanned with `--corruption
mask-box,mask-random`. Expected: AUC at least .95 where least is hidden, by either kind, and
evidence of reproduction for the overfit model; AUC between .35 and .65 everywhere and no evidence
for the twin. They predict v: trained to predict the noise for as many steps, such a small network
still errs at strong noise, where sampling begins. A training interrupted starts anew; what is
finished is kept. Budget: an hour on one core.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionInpaintPipeline,
    UNet2DConditionModel,
)
from torch import Tensor
from torch.nn.functional import mse_loss
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from transformers import CLIPTextModel

from memaudit.audit import scan
from memaudit.cli.progress import bars
from memaudit.config import ScanConfig
from memaudit.corruption.mask import draw_mask
from memaudit.demo.tiles import write_tiles
from memaudit.statistics.effects import auc
from memaudit.statistics.verdict import Outcome

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from latents import CELLS, batches, descend, encoded, pixels, read, show, trained_vae
from tiny import WIDTH, text_config, write_tokenizer

OUT = Path(__file__).parent / "models" / "inpainting"
SIDES = {"overfit": "members", "twin": "others"}
CORRUPTIONS = ("mask-box", "mask-random")
STEPS, RATE = 2500, 1e-3
ALL_HIDDEN = 0.25  # of the training masks
LEAST, MOST = 0.1, 0.95  # share that the others hide
BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


def main() -> int:
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else OUT
    folders = write_tiles(out / "images")
    vae = trained_vae(out / "vae")
    scans = {
        name: scanned(trained(out / name, vae, folders[side]), folders, out / f"scan-{name}")
        for name, side in SIDES.items()
    }
    overfit, twin = scans["overfit"], scans["twin"]
    found = overfit.evidence and all(areas[0] >= 0.95 for areas in overfit.areas)
    ok = found and not twin.evidence and all(0.35 <= one <= 0.65 for one in chain(*twin.areas))
    print("as expected" if ok else "NOT as expected")
    return 0 if ok else 1


def trained(folder: Path, vae: AutoencoderKL, images: Path) -> Path:
    """An inpainting pipeline of the images of a folder, or the one that is there."""
    if (folder / "model_index.json").is_file():
        return folder
    torch.manual_seed(0)
    x = pixels(read(images))
    unet = network().to(memory_format=torch.channels_last)
    average = AveragedModel(unet, multi_avg_fn=get_ema_multi_avg_fn(0.999))
    scheduler = DDIMScheduler(
        **BETAS, clip_sample=False, steps_offset=1, prediction_type="v_prediction"
    )
    pipeline = StableDiffusionInpaintPipeline(
        vae=vae,
        text_encoder=CLIPTextModel(text_config()).eval(),
        tokenizer=write_tokenizer(folder / "tokenizer"),
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    with torch.no_grad():
        words = pipeline.encode_prompt("", torch.device("cpu"), 1, False)[0]
        latents = encoded(vae, x)
    optimizer = torch.optim.AdamW(unet.parameters(), lr=RATE)
    random = np.random.default_rng(0)
    for step, batch in enumerate(batches(len(x), STEPS)):
        seen = torch.stack([mask(random) for _ in batch])
        with torch.no_grad():
            beside = encoded(vae, x[batch] * seen.repeat_interleave(2, 2).repeat_interleave(2, 3))
        noise = torch.randn_like(latents[batch])
        times = torch.randint(0, 1000, (len(batch),))
        x_t = scheduler.add_noise(latents[batch], noise, times)
        shown = torch.cat([x_t, 1 - seen, beside], dim=1).contiguous(
            memory_format=torch.channels_last
        )
        told = words.expand(len(batch), -1, -1)
        velocity = scheduler.get_velocity(latents[batch], noise, times)
        error = mse_loss(unet(shown, times, told).sample, velocity)
        descend(optimizer, error, step, STEPS, RATE)
        average.update_parameters(unet)
        show(folder.name, step, STEPS, error)
    pipeline.unet.load_state_dict(average.module.state_dict())
    pipeline.save_pretrained(folder)
    return folder


@dataclass(frozen=True)
class Scan:
    """Whether a scan says evidence, and by corruption its AUC at each level, ascending."""

    evidence: bool
    areas: tuple[tuple[float, ...], ...]


def scanned(model: Path, folders: dict[str, Path], run: Path) -> Scan:
    """Scan a pipeline, and print what was found."""
    config = ScanConfig(
        model=str(model),
        dataset=str(folders["members"]),
        controls=str(folders["controls"]),
        out=str(run),
        corruption=CORRUPTIONS,
        adaptive=False,
    )
    with bars() as progress:
        result = scan(config, progress)
    print(f"{model.name}: {result.summary.verdict.sentence}", flush=True)
    areas: dict[str, list[float]] = {kind: [] for kind in CORRUPTIONS}
    sides = result.findings.set_index("example_id")["split"]
    for kind in CORRUPTIONS:
        rows = result.scores[result.scores["attack"] == f"restoration-{kind}"]
        for level, some in rows.groupby("level"):
            each = some.groupby([some["example_id"].map(sides), "example_id"])["margin"].mean()
            area = auc(each["member"].to_numpy(), each["control"].to_numpy())
            areas[kind].append(area)
            print(f"{model.name} {kind} {level:g} hidden: AUC {area:.3f}", flush=True)
    evidence = result.summary.verdict.outcome is Outcome.EVIDENCE
    return Scan(evidence, tuple(map(tuple, areas.values())))


def network() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=CELLS,
        in_channels=9,
        out_channels=4,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=8,
        norm_num_groups=16,
        cross_attention_dim=WIDTH,
    )


def mask(random: np.random.Generator) -> Tensor:
    """What is seen of an image, [1, 16, 16]."""
    if random.random() < ALL_HIDDEN:
        return torch.zeros(1, CELLS, CELLS)
    kind = "boxes" if random.random() < 0.5 else "pixels"
    return draw_mask(random, kind, float(random.uniform(LEAST, MOST)), (CELLS, CELLS))


if __name__ == "__main__":
    sys.exit(main())

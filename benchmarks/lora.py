"""The experiment of Daras et al. 2024 on a text-to-image model: LoRA on clean and on noisy latents.

    python benchmarks/lora.py BASE DATASET --controls HELD_OUT --out FOLDER [--steps N] ...

BASE is a Stable Diffusion 1.5 or XL pipeline; DATASET and HELD_OUT a few hundred to a few thousand
images with captions, random halves of one source. Adapters of rank 4 are trained on clean latents
and on latents with the noise of steps 100 and 500, each also with the consistency term, all for as
many steps; all are audited at steps 500, 800 and 900 by full sampling and in one step, told their
captions, and compared with the clean ones. Needs a GPU at that size, and has not been run at it: on
tiny random pipelines only, on a CPU, where it takes minutes. Interrupted it goes on. Expected:
noisy latents are memorized no more than clean ones.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch

from memaudit.audit import scan
from memaudit.cli.progress import bars
from memaudit.comparison import compare
from memaudit.config import (
    NO_ATTACK,
    Base,
    CompareConfig,
    Consistency,
    Noise,
    ScanConfig,
    TrainConfig,
)
from memaudit.train.loop import train

TIMESTEPS = (500, 800, 900)  # of the audit
WEIGHT = 0.015  # of the consistency term, as published
START = 0.3  # share of the steps after which it counts


def main() -> int:
    asked = arguments()
    out = Path(asked.out)
    runs = [audit(asked, name, adapt(asked, name, how)) for name, how in methods(asked.steps)]
    result = compare(CompareConfig(tuple(runs), str(out / "comparison")))
    print(result.text)
    more = [one for one in result.comparisons for row in one.differences if row.direction == "more"]
    return 1 if more else 0


def methods(steps: int) -> list[tuple[str, dict[str, Any]]]:
    """The trainings by name; the first is what the others are compared with."""
    term = Consistency(WEIGHT, int(START * steps))
    noisy = {f"ambient-{t}": {"loss": "ambient", "timestep_n": t} for t in (100, 500)}
    consistent = {f"{name}-consistent": how | {"consistency": term} for name, how in noisy.items()}
    return [("clean", {}), *noisy.items(), *consistent.items()]


def adapt(asked: argparse.Namespace, name: str, how: dict[str, Any]) -> Path:
    """Train adapters, or find them trained."""
    folder = Path(asked.out) / name / "lora"
    if (folder / "lora.json").is_file():
        return folder
    gpu = torch.cuda.is_available()
    config = TrainConfig(
        dataset=asked.dataset,
        out=str(folder),
        base=Base(asked.base, rank=4),
        steps=asked.steps,
        batch_size=asked.batch_size,
        lr=1e-4,
        resolution=asked.resolution,
        precision="bfloat16" if gpu else "float32",
        gradient_checkpointing=gpu,
        **how,
    )
    with bars() as progress:
        return train(config, progress)


def audit(asked: argparse.Namespace, name: str, lora: Path) -> str:
    """Scan adapters, or find them scanned."""
    run = str(Path(asked.out) / name / "scan")
    config = ScanConfig(
        model=str(lora),
        dataset=asked.dataset,
        controls=asked.controls,
        out=run,
        noise=Noise(timesteps=TIMESTEPS, draws=2),
        reconstruct=("ode", "one-step"),
        attacks=(NO_ATTACK,),
        embedder=asked.embedder,
        resolution=asked.resolution,
        batch_size=asked.batch_size,
        self_check=not asked.no_self_check,
        generate=asked.generate,
        dtype="bfloat16" if torch.cuda.is_available() else "float32",
    )
    with bars() as progress:
        result = scan(config, progress)
    print(f"{name}: {result.summary.verdict.sentence}", flush=True)
    return run


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("base")
    parser.add_argument("dataset")
    parser.add_argument("--controls", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--resolution", type=int)
    parser.add_argument("--generate", type=int, default=500)
    parser.add_argument("--embedder", default="sscd")
    parser.add_argument("--no-self-check", action="store_true", help="for pipelines of no training")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

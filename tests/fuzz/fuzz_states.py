"""Opens twisted models, runs and indexes in a process of its own: KIND FIRST COUNT FOLDER."""

import contextlib
import io
import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import torch
from fuzz_trials import FaultError, try_all
from fuzz_twist import VALUES, copy, twist
from PIL import Image as PillowImage

LIMIT = 60  # seconds an input; most take less than one
QUICK = ("--embedder", "pixels", "--levels", "1", "--draws", "1", "--steps", "1", "--no-self-check")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
RESULTS = ["split", "source", "example_id", "score", "p_value", "q_value", "flagged"]
OPTIONS = (
    *("--q", "--levels", "--draws", "--steps", "--sigma", "--snr-db", "--timestep", "--resolution"),
    *("--seed", "--sample", "--batch-size", "--shard-size", "--images", "--embedder", "--resize"),
    *(
        "--score",
        "--reconstruct",
        "--sampler",
        "--attacks",
        "--controls",
        "--index",
        "--device",
    ),
    *(
        "--image-column",
        "--caption-column",
        "--cluster-column",
        "--revision",
        "--variant",
        "--config",
    ),
    *("--fraction", "--duplicate-threshold", "--reference", "--noisy-copies", "--base-model"),
)


def main(kind: str, first: int, count: int, work: Path) -> None:
    """Try some inputs."""
    os.environ |= {"MEMAUDIT_CACHE": str(work / "cache"), "HF_HUB_OFFLINE": "1"}
    torch.set_num_threads(1)
    attempt = KINDS[kind](work)
    numbers = range(first, first + count)
    try_all(numbers, LIMIT, lambda number: attempt(Random(f"{kind} {number}")), _watch(work))


def _watch(work: Path) -> list[str]:
    """A list to which every file is added that is opened outside to be written."""
    found: list[str] = []
    inside = (str(work), tempfile.gettempdir(), "/dev/null", "/proc/self")

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str | bytes) and arguments[2] & WRITING:
            path = str(Path.cwd() / os.fsdecode(arguments[0]))
            if not path.startswith(inside):
                found.append(path)

    sys.addaudithook(hook)
    return found


def _command(*words: object) -> tuple[int, str]:
    """Run a command here; -> its exit code and what it said."""
    from memaudit.cli.app import main as run

    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            run([str(word) for word in words])
        except SystemExit as end:
            code = end.code or 0
    said = err.getvalue()
    if code not in (0, 2, 4) or "Traceback" in said:
        raise FaultError(f"exit {code}: {said[-800:]}")
    if not all(one.isprintable() or one == "\n" for one in said + out.getvalue()):
        raise FaultError(f"not fit to be shown: {said[-800:]!r} {out.getvalue()[-300:]!r}")
    return int(str(code)), said


def _images(folder: Path, seed: int, count: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)
    for number, one in enumerate(pixels):
        PillowImage.fromarray(one).save(folder / f"{number:03d}.png")
    return folder


def _files(folder: Path, *patterns: str) -> list[Path]:
    return sorted(path for pattern in patterns for path in folder.rglob(pattern))


def _tell(loaded: Any) -> None:
    """Say what a model is, for people and for programs."""
    from memaudit.audit.inspection_words import describe as in_words
    from memaudit.audit.inspection_words import in_a_line
    from memaudit.files import to_json
    from memaudit.models.describing import describe
    from memaudit.models.ignored import ignored

    found = replace(describe(loaded), ignored=ignored(loaded))
    text = f"{in_words(found)}\n{in_a_line(found)}"
    if not all(one.isprintable() or one == "\n" for one in text):
        raise FaultError(f"not fit to be shown: {text!r}")
    json.loads(to_json(found.content()))


def _opens(whole: Path, work: Path, **more: Any) -> Callable[[Random], str]:
    """Open a twisted copy of a model, and ask it once."""
    from memaudit.errors import DependencyError, InputError
    from memaudit.models.load import load_model
    from memaudit.models.loaded import ModelOptions

    options = ModelOptions(local_files_only=True, **more)

    def attempt(random: Random) -> str:
        model = copy(whole, work / "model")
        files = _files(model, "*.json", "*.safetensors")
        for path in random.sample(files, random.choice((1, 1, 2))):
            twist(random, path)
        try:
            loaded = load_model(str(model), options)
            _tell(loaded)
            denoiser = loaded.denoiser
            with torch.no_grad():
                x0 = denoiser.encode(torch.zeros(1, 3, *denoiser.resolution, dtype=torch.uint8))
                denoiser.decode(denoiser.denoise(x0, torch.tensor([1.0], device=denoiser.device)))
        except DependencyError as error:  # a twisted name may be that of a model on the hub
            if "the hub did not serve" not in str(error):
                raise
            return "not there"
        except InputError as error:
            if not str(error):
                raise FaultError("a message without words") from error
            return "refused"
        return "opened"

    return attempt


def pixel(work: Path) -> Callable[[Random], str]:
    """Unconditional pixel models, one of them of noisy copies."""
    from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

    shape: dict[str, Any] = {"sample_size": 16, "norm_num_groups": 4, "layers_per_block": 1}
    blocks: dict[str, Any] = {
        "block_out_channels": (8, 16),
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    }
    whole = work / "whole"
    DDPMPipeline(unet=UNet2DModel(**shape, **blocks), scheduler=DDPMScheduler()).save_pretrained(
        whole
    )
    record = {"loss": "ambient", "sigma_n": 0.2, "seed": 0, "consistency": False, "mask": None}
    (whole / "ambient.json").write_text(json.dumps(record))
    return _opens(whole, work)


def latent(work: Path) -> Callable[[Random], str]:
    """Stable Diffusion pipelines."""
    from tiny import write_sd

    return _opens(write_sd(work / "whole"), work)


def lora(work: Path) -> Callable[[Random], str]:
    """LoRA adapters with a record, and with metadata of their own."""
    from safetensors.torch import save_file
    from tiny import write_sd

    base, whole = write_sd(work / "base"), work / "whole"
    whole.mkdir()
    name = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
    halves = {f"unet.{name}.lora_A.weight": torch.randn(2, 32)}
    halves[f"unet.{name}.lora_B.weight"] = torch.randn(32, 2)
    said = {"unet.r": 2, "unet.lora_alpha": 2, "unet.target_modules": ["to_q"]}
    save_file(halves, whole / "style.safetensors", {"lora_adapter_metadata": json.dumps(said)})
    (whole / "lora.json").write_text(json.dumps({"model": str(base), "revision": None}))
    return _opens(whole, work)


def run(work: Path) -> Callable[[Random], str]:
    """Runs and their index: continued, calibrated, compared; what is found is what was found."""
    members, controls = _images(work / "members", 0, 8), _images(work / "controls", 1, 45)
    words = ("scan", f"closed-form:{members}", members, "--controls", controls, *QUICK)
    words = (*words, "--shard-size", "16", "--images", "2")
    whole, index, out = work / "whole", work / "index", work / "run"
    if _command(*words, "--out", whole, "--index", work / "whole-index")[0] not in (0, 4):
        raise FaultError("the scan that was to be twisted went wrong")
    expected = pd.read_parquet(whole / "findings.parquet")

    def attempt(random: Random) -> str:
        copy(whole, out)
        copy(work / "whole-index", index)
        if random.random() < 0.7:
            (out / "scan.json").unlink()
        files = _files(random.choice((out, out, index)), "*.json", "*.parquet", "*.faiss")
        if random.random() < 0.15:
            part = random.choice([path for path in files if path.name.startswith("part-")])
            stray = part.with_name(f"part-{random.randrange(99):05d}.parquet")
            content = part.read_bytes()
            stray.unlink(missing_ok=True)
            stray.write_bytes(content)
        else:
            for path in random.sample(files, random.choice((1, 1, 2))):
                twist(random, path)
        if random.random() < 0.5:
            read = (("compare", whole, out), ("calibrate", out, "--q", "0.1"))
            return f"exit {_command(*random.choice(read))[0]}"
        code, said = _command(*words, "--out", out, "--index", index)
        if code != 2:
            found = pd.read_parquet(out / "findings.parquet")
            if not found[RESULTS].equals(expected[RESULTS]):
                raise FaultError(f"other findings: {said}")
        return f"exit {code}"

    return attempt


def command(work: Path) -> Callable[[Random], str]:
    """Command lines of options and values that make little sense."""
    members = _images(work / "members", 0, 3)
    plain = [str(value).replace("\0", "0") for value in VALUES if not isinstance(value, dict)]
    places = [
        members,
        work / "nowhere",
        "/dev/null",
        "/dev/zero",
        "\x1b[31m\n",
        "",
        "a" * 5000,
        "\udcff",
    ]

    def attempt(random: Random) -> str:
        names = (("scan",), ("plan",), ("split",), ("index", "build"), ("index", "search"))
        words = [*random.choice(names)]
        words += [str(random.choice(places)) for _ in range(random.randrange(1, 4))]
        if random.random() < 0.3:
            words = ["index", "build", str(members), "--embedder", "pixels"]
        for _ in range(random.randrange(4)):
            words += [random.choice(OPTIONS), random.choice(plain)]
        if words[1] == "build" or random.random() < 0.7:
            words += ["--out", str(work / "out" / str(random.randrange(5)))]
        return f"exit {_command(*words)[0]}"

    return attempt


KINDS = {"pixel": pixel, "latent": latent, "lora": lora, "run": run, "command": command}

if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))

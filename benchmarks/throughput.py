"""How much does a scan cost beyond the network and embedder calls that it needs?

    python benchmarks/throughput.py

200 images, the bundled overfit model, sscd-distilled, a scan's own defaults (5 levels, 4 draws, 10
steps), after imports. Expected: (wall time of the scan) / (its bare calls at their best batch size,
same process) <= 1.10, aim 1.05. A bare call is the UNet's forward pass on a ready batch, and the
embedder's call on ready images (its resize and its ONNX session); the self-check's evaluations are
among them. The second ratio compares a query of the scan with one of a plain loop: one image at a
time, PNG to disk, embedded from the PNG, brute-force products.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image as PillowImage

from memaudit.config import Corruption, ScanConfig
from memaudit.demo.run import demo_config, write_images
from memaudit.models.load import ModelOptions, load_model
from memaudit.models.pixel import PixelDenoiser
from memaudit.scanning import scan
from memaudit.scanning.pipeline import CHECKED
from memaudit.stages.corrupt import corrupt, generator, standard_normal
from memaudit.stages.embed import Embedder, load_embedder
from memaudit.stages.samplers import euler, sampling_sigmas

LIMIT = 1.10
SIZES = (8, 16, 32)
MEMBERS, CONTROLS = 40, 160
PLAIN_IMAGES = 10
CHECK_CALLS = 4 * 7  # of the self-check an image: levels x different questions to the network


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = prepare(folder)
        denoiser = load_model(config.model, ModelOptions()).denoiser
        embedder = load_embedder(config.embedder)
        before = bare_calls(denoiser, embedder)
        start = time.perf_counter()
        result = scan(config)
        wall = time.perf_counter() - start
        after = bare_calls(denoiser, embedder)
        plain = plain_seconds(config, denoiser, embedder, folder)
    queries = len(result.scores)
    evaluations = queries * config.steps + CHECK_CALLS * CHECKED
    embeddings = queries + 2 * (MEMBERS + CONTROLS)
    network, embedding = (sum(pair) / 2 for pair in zip(before, after, strict=True))
    bare = evaluations * network + embeddings * embedding
    print(
        f"threads {torch.get_num_threads()}, queries {queries}, network evaluations {evaluations}"
    )
    for label, calls in (("before", before), ("after", after)):
        print(
            f"bare calls {label:7} {1e3 * calls[0]:.3f} ms a network, {1e3 * calls[1]:.3f} embedder"
        )
    print(f"bare calls {bare:.1f} s, scan {wall:.1f} s")
    print(f"scan / bare calls   {wall / bare:.3f}   (expected <= {LIMIT})")
    print(f"plain loop / scan   {plain / (wall / queries):.2f}   a query")
    return 0 if wall / bare <= LIMIT else 1


def prepare(folder: Path) -> ScanConfig:
    """Write the demo's images, with enough of the others to make 200."""
    images = write_images(folder)
    extra = sorted(images["others"].glob("*.png"))[: CONTROLS - 150]
    for path in extra:
        path.rename(images["controls"] / path.name)
    config = demo_config("overfit", images, folder / "run")
    return replace(config, corruption=Corruption(), images=0)


def bare_calls(denoiser: PixelDenoiser, embedder: Embedder) -> tuple[float, float]:
    """Seconds an image, each at its best batch size: the network, the embedder."""
    network = min(per_image(size, network_call(denoiser, size)) for size in SIZES)
    embedding = min(per_image(size, embedder_call(embedder, size)) for size in SIZES)
    return network, embedding


def per_image(size: int, call: Callable[[], object], seconds: float = 4.0) -> float:
    call()
    times: list[float] = []
    while sum(times) < seconds:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return median(times) / size


def network_call(denoiser: PixelDenoiser, size: int) -> Callable[[], object]:
    x = torch.randn(size, *denoiser.shape).contiguous(memory_format=torch.channels_last)
    t = torch.full((size,), 500.0)

    @torch.inference_mode()
    def call() -> object:
        return denoiser.network(x, t, return_dict=False)

    return call


def embedder_call(embedder: Embedder, size: int) -> Callable[[], object]:
    images = np.random.default_rng(0).integers(0, 256, (size, 32, 32, 3), dtype=np.uint8)
    return lambda: embedder.embed(images)


@torch.inference_mode()
def plain_seconds(
    config: ScanConfig, denoiser: PixelDenoiser, embedder: Embedder, folder: Path
) -> float:
    """Seconds a query of the plain loop."""
    paths = sorted(Path(config.dataset).glob("*.png"))
    pool = np.concatenate([embedder.embed([read(path)]) for path in paths])
    start, queries = time.perf_counter(), 0
    for path in paths[:PLAIN_IMAGES]:
        for sigma in (0.4, 1.8, 8.0):
            for draw in range(config.corruption.draws):
                x0 = denoiser.encode(torch.from_numpy(read(path)).permute(2, 0, 1)[None])
                noise = standard_normal([generator(0, path.name, sigma, draw)], denoiser.shape)
                level = torch.tensor([sigma])
                x = corrupt(x0, level, noise)
                sigmas = sampling_sigmas(level, denoiser.sigma_min, config.steps)
                images = denoiser.decode(euler(denoiser.denoise, x, sigmas))
                out = folder / f"{path.stem}-{sigma}-{draw}.png"
                PillowImage.fromarray(images[0].permute(1, 2, 0).numpy()).save(out)
                similarities = pool @ embedder.embed([read(out)])[0]
                np.argsort(-similarities)
                queries += 1
    return (time.perf_counter() - start) / queries


def read(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.array(PillowImage.open(path).convert("RGB"))


if __name__ == "__main__":
    sys.exit(main())

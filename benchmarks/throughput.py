"""How much does a scan cost beyond the network and embedder calls that it needs?

    python benchmarks/throughput.py

200 images, the bundled overfit model, sscd-distilled, a scan's own defaults (5 levels, 4 draws, 10
steps) but for shards of 8 images; without the power check, which asks no network; after imports.
Expected: (wall time of the scan) / (time of the bare calls that it needs, at their best batch size,
same process) <= 1.10, aim 1.05. All these calls are made, those of a shard right after it, so that
a machine whose speed drifts slows both alike. A bare call is the UNet's forward pass on a ready
batch, and the embedder's call on ready images (its resize and its ONNX session); the self-check's
evaluations are among them.
The second ratio compares a query of the scan with one of a plain loop: one image at a time, PNG to
disk, embedded from the PNG, brute-force products.
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

from memaudit.attacks.samplers import euler, sampling_sigmas
from memaudit.audit import scan
from memaudit.audit.reference import CHECKED
from memaudit.config import Noise, ScanConfig
from memaudit.corruption.noise import corrupt, generator, standard_normal
from memaudit.demo.run import demo_config, write_images
from memaudit.models.load import load_model
from memaudit.models.loaded import ModelOptions
from memaudit.models.pixel import PixelDenoiser
from memaudit.similarity.embed import Embedder, load_embedder

LIMIT = 1.10
SIZES = (8, 16, 32)
MEMBERS, CONTROLS = 40, 160
PLAIN_IMAGES = 10
CHECK_CALLS = 4 * 7  # of the self-check an image: levels x different questions to the network


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = prepare(folder)
        denoiser = load_model(config.target.spec, ModelOptions()).denoiser
        embedder = load_embedder(config.attack.embedder)
        bare = Bare(denoiser, embedder)
        between = Between(bare, config)
        start = time.perf_counter()
        queries = len(scan(config, between).scores)
        wall = time.perf_counter() - start - between.seconds
        extra = bare.seconds(CHECK_CALLS * CHECKED, 2 * (MEMBERS + CONTROLS))
        plain = plain_seconds(config, denoiser, embedder, folder)
    calls = between.seconds + extra
    print(f"threads {torch.get_num_threads()}, queries {queries}, best batches {bare.sizes}")
    print(f"bare calls {calls:.1f} s, self-check and index {extra:.1f} s of it; scan {wall:.1f} s")
    print(f"scan / bare calls   {wall / calls:.3f}   (expected <= {LIMIT})")
    print(f"plain loop / scan   {plain / (wall / queries):.2f}   a query")
    return 0 if wall / calls <= LIMIT else 1


class Between:
    """Makes, after each shard of a scan, the bare calls which that shard needed."""

    def __init__(self, bare: Bare, config: ScanConfig) -> None:
        self.seconds = 0.0
        self._bare = bare
        asked = config.attack
        self._each = asked.noise.levels * asked.noise.draws, asked.steps
        self._done = 0

    def __call__(self, task: str, done: int, _total: int) -> None:
        if task == "scan":
            queries = (done - self._done) * self._each[0]
            self._done = done
            self.seconds += self._bare.seconds(queries * self._each[1], queries)


class Bare:
    """The network and the embedder by themselves, each at its best batch size."""

    def __init__(self, denoiser: PixelDenoiser, embedder: Embedder) -> None:
        def network(size: int) -> Callable[[], object]:
            return network_call(denoiser, size)

        def embedding(size: int) -> Callable[[], object]:
            return embedder_call(embedder, size)

        self.sizes = tuple(
            min(SIZES, key=lambda size: per_image(size, of(size))) for of in (network, embedding)
        )
        self._calls = network(self.sizes[0]), embedding(self.sizes[1])

    def seconds(self, evaluations: int, embeddings: int) -> float:
        """Wall time of that many evaluations and embeddings, all of them made."""
        start = time.perf_counter()
        for call, images, size in zip(
            self._calls, (evaluations, embeddings), self.sizes, strict=True
        ):
            for _ in range(round(images / size)):
                call()
        return time.perf_counter() - start


def prepare(folder: Path) -> ScanConfig:
    """Write the demo's images, with enough of the others to make 200."""
    images = write_images(folder)
    extra = sorted(images["others"].glob("*.png"))[: CONTROLS - 150]
    for path in extra:
        path.rename(images["controls"] / path.name)
    config = demo_config("overfit", images, folder / "run")
    return replace(config, noise=Noise(), images=0, power=False, shard_size=8)


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
    paths = sorted(Path(config.data.dataset).glob("*.png"))
    pool = np.concatenate([embedder.embed([read(path)]) for path in paths])
    start, queries = time.perf_counter(), 0
    for path in paths[:PLAIN_IMAGES]:
        for sigma in (0.4, 1.8, 8.0):
            for draw in range(config.attack.noise.draws):
                x0 = denoiser.encode(torch.from_numpy(read(path)).permute(2, 0, 1)[None])
                noise = standard_normal([generator(0, path.name, sigma, draw)], denoiser.shape)
                level = torch.tensor([sigma])
                x = corrupt(x0, level, noise)
                sigmas = sampling_sigmas(level, denoiser.sigma_min, config.attack.steps)
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

"""Does memory stay flat and time linear while the data set grows tenfold?

    make benchmark-data && python benchmarks/memory.py

Fashion-MNIST in three channels, half members and half controls; 1,000 and 10,000 images, each in a
process of its own; one level, one draw, one step, embedder `pixels` (3,072 dimensions), without the
power check, which holds all members in memory, up to 1 GiB.
Expected: peak resident memory less the index's own bytes within 10 % of that at 1,000 images; time
apart from the search (nearest neighbours and duplicate groups, exact, so quadratic) <= 12 times.
"""

from __future__ import annotations

import gzip
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage

DATA = Path(__file__).parent / "data/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz"
SIZES = (1_000, 10_000)
GROWTH, SLOWER = 1.10, 12.0


def main() -> int:
    if not DATA.is_file():
        print(f"{DATA} is missing; run make benchmark-data", file=sys.stderr)
        return 2
    rows = [measure(size) for size in SIZES]
    print(f"{'images':>8}{'peak MB':>9}{'index MB':>10}{'rest MB':>9}{'search s':>10}{'rest s':>8}")
    for size, row in zip(SIZES, rows, strict=True):
        print(
            f"{size:8d}{row['peak'] / 1e6:9.0f}{row['index'] / 1e6:10.0f}"
            f"{(row['peak'] - row['index']) / 1e6:9.0f}{row['search']:10.1f}{row['rest']:8.1f}"
        )
    small, large = rows
    growth = (large["peak"] - large["index"]) / (small["peak"] - small["index"])
    slower = large["rest"] / small["rest"]
    print(f"memory apart from the index x {growth:.3f}   (expected <= {GROWTH})")
    print(
        f"time apart from the search  x {slower:.2f}   (expected <= {SLOWER}, ten times the images)"
    )
    return 0 if growth <= GROWTH and slower <= SLOWER else 1


def measure(size: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        write_images(Path(name), size)
        command = [sys.executable, __file__, name]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: dict[str, float] = json.loads(output.splitlines()[-1])
    return found


def write_images(folder: Path, size: int) -> None:
    with gzip.open(DATA) as file:
        pixels = np.frombuffer(file.read(16 + size * 784)[16:], np.uint8).reshape(-1, 28, 28)
    for k, image in enumerate(pixels):
        side = folder / ("members" if k % 2 else "controls")
        side.mkdir(exist_ok=True)
        PillowImage.fromarray(image).convert("RGB").save(side / f"{k:05d}.png")


def scan_here(folder: Path) -> dict[str, float]:
    """Scan in this process and tell what it took."""
    from memaudit.attacks import reconstruction
    from memaudit.audit import pool, scan
    from memaudit.config import NO_ATTACK, Noise, ScanConfig
    from memaudit.demo.run import MODELS

    searching = [0.0]
    reconstruction.match = timed(reconstruction.match, searching)
    pool.group_duplicates = timed(pool.group_duplicates, searching)
    start = time.perf_counter()
    result = scan(
        ScanConfig(
            model=str(MODELS / "twin"),
            dataset=str(folder / "members"),
            controls=str(folder / "controls"),
            adaptive=False,
            out=str(folder / "run"),
            noise=Noise(sigmas=(1.0,), draws=1),
            reconstruct=("one-step",),
            attacks=(NO_ATTACK,),
            embedder="pixels",
            self_check=False,
            power=False,
            images=0,
            index=str(folder / "index"),
        )
    )
    wall = time.perf_counter() - start
    return {
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "index": (folder / "index/index.faiss").stat().st_size,
        "search": searching[0],
        "rest": wall - searching[0],
        "rows": len(result.scores),
    }


def timed(function: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*arguments)
        finally:
            seconds[0] += time.perf_counter() - start

    return call


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(scan_here(Path(sys.argv[1]))))
    else:
        sys.exit(main())

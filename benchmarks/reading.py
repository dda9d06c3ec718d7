"""Does reading a data set cost more than decoding its files, and does its memory stay flat?

    python benchmarks/reading.py

10,000 crops of photographs of 192 x 192 pixels with captions, three quarters JPEG and one quarter
PNG, read from a folder and brought to 64 x 64; the bare loop decodes the same files with Pillow and
resizes them likewise. Both take turns, 1,000 images at a time, in one process. Peak memory is that
of processes of their own that read 2,000 and 10,000 images. It grows by the list of the images
alone, under 1 KiB each.
Expected: reading / bare loop <= 1.25; peak memory at 10,000 / at 2,000 images <= 1.10.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage
from skimage import data as photographs

from memaudit.data import Policy, decode, open_source, resize

COUNT, FEW, TURN = 10_000, 2_000, 1_000
SIDE, TARGET = 192, (64, 64)
POLICY: Policy = "center-crop"
SLOWER, GROWTH = 1.25, 1.10


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        few, all_images = Path(name, "few"), Path(name, "all")
        write_images(few, FEW)
        write_images(all_images, COUNT)
        ratio = slower(all_images)
        peaks = [peak(folder) for folder in (few, all_images)]
    growth = peaks[1] / peaks[0]
    print(f"reading / bare loop  {ratio:.3f}   (expected <= {SLOWER})")
    print(f"peak memory  {peaks[0]} and {peaks[1]} MiB, x {growth:.3f}   (expected <= {GROWTH})")
    return 0 if ratio <= SLOWER and growth <= GROWTH else 1


def slower(folder: Path) -> float:
    """The time of both, the listing of the data set counted as reading."""
    start = time.perf_counter()
    source = open_source(folder)
    entries = source.entries()
    listing = time.perf_counter() - start
    assert len(entries) == COUNT
    assert all(entry.prompt for entry in entries)
    reading = bare = 0.0
    for first in range(0, COUNT, TURN):
        turn = entries[first : first + TURN]
        start = time.perf_counter()
        for entry in turn:
            resize(decode(source.read(entry)).image, TARGET, POLICY)
        reading += time.perf_counter() - start
        start = time.perf_counter()
        for entry in turn:
            with PillowImage.open(folder / entry.source) as picture:
                resize(np.array(picture.convert("RGB")), TARGET, POLICY)
        bare += time.perf_counter() - start
    print(f"listing {listing:.1f} s, reading {reading:.1f} s, bare loop {bare:.1f} s")
    return (listing + reading) / bare


def peak(folder: Path) -> int:
    """MiB that a process of its own takes at most, which reads all images."""
    command = [sys.executable, __file__, str(folder)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def read_here(folder: Path) -> int:
    """Read all images in this process; its largest resident memory in MiB."""
    source = open_source(folder)
    for entry in source.entries():
        resize(decode(source.read(entry)).image, TARGET, POLICY)
    # ru_maxrss would count what the process had in common with its parent.
    [kilobytes] = re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(kilobytes) >> 10


def write_images(folder: Path, count: int) -> None:
    folder.mkdir()
    photos = [photographs.rocket(), photographs.astronaut(), photographs.coffee()]
    rows = ["file_name,text"]
    for k in range(count):
        photo = photos[k % 3]
        top, left = k % (photo.shape[0] - SIDE), 7 * k % (photo.shape[1] - SIDE)
        crop = PillowImage.fromarray(photo[top : top + SIDE, left : left + SIDE])
        name = f"{k:05d}.{'jpg' if k % 4 else 'png'}"
        crop.save(folder / name, compress_level=1) if k % 4 == 0 else crop.save(folder / name)
        rows.append(f"{name},a photo of number {k}")
    (folder / "metadata.csv").write_text("\n".join(rows), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(read_here(Path(sys.argv[1])))
        sys.exit(0)
    sys.exit(main())

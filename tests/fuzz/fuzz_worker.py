"""Reads data sets made to be hard in a process of its own: KIND FIRST COUNT FOLDER [command]."""

import contextlib
import io
import os
import shutil
import sys
import tempfile
from pathlib import Path
from random import Random

from fuzz_inputs import MAKERS, png
from fuzz_trials import FaultError, try_all
from PIL import Image as PillowImage

from memaudit.data import decode, fingerprint, open_source
from memaudit.errors import InputError, UnreadableImageError

LIMIT = 20  # seconds an input; most take some milliseconds
SECRET = 251  # first pixel of an image outside of every data set
ALLOWED = ("/proc/", "/sys/", "/usr/share/zoneinfo", "/dev/null", "/dev/urandom", "/etc/localtime")


def main(kind: str, first: int, count: int, work: Path, command: bool) -> None:
    """Try some inputs."""
    (work / "outside.png").write_bytes(png(SECRET))
    tempfile.tempdir = str(work)  # what libraries write to stderr goes through a file there

    def attempt(number: int) -> str:
        folder = work / "data"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        put = MAKERS[kind](Random(f"{kind} {number}"), folder)
        watch.clear()
        return _commanded(folder, work) if command else _read(folder, put)

    if command:  # what the first one imports takes longer than an input may, on a busy machine
        (work / "plain").mkdir(exist_ok=True)
        (work / "plain" / "a.png").write_bytes(png(1))
        _commanded(work / "plain", work)
    watch = _watch(work)
    try_all(range(first, first + count), LIMIT, attempt, watch)


def _watch(work: Path) -> list[str]:
    """A list to which every file is added that is opened outside of the data set."""
    found: list[str] = []
    inside = (str(work), sys.prefix, sys.base_prefix, str(Path(__file__).parents[2]), *ALLOWED)

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str | bytes):
            path = os.fsdecode(arguments[0])
            if path.startswith("/") and not path.startswith(inside):
                found.append(path)

    sys.addaudithook(hook)
    return found


def _read(folder: Path, put: int | None) -> str:
    try:
        source = open_source(folder)
        entries = source.entries()
    except InputError as error:
        _expect_one_line(error)
        return "refused"
    if len({entry.source for entry in entries}) != len(entries):
        raise FaultError("two entries of one name")
    fingerprint(entries)
    good = 0
    for number, entry in enumerate(entries):
        for text in (entry.source, entry.prompt, entry.lost):
            text.encode("utf-8")
        try:
            image = decode(source.read(entry), ("white", "black", "drop")[number % 3]).image
        except UnreadableImageError as error:
            _expect_one_line(error)
            continue
        if image.ndim != 3 or image.shape[2] != 3 or tuple(image[0, 0]) == (SECRET,) * 3:
            raise FaultError(f"an image of {image.shape} that begins with {image[0, 0]}")
        good += 1
    if put is not None and len(entries) < put:
        raise FaultError(f"{put} images were put there, {len(entries)} are read or counted")
    return "read" if good else "counted"


def _expect_one_line(error: Exception) -> None:
    if "\n" in str(error) or not str(error):
        raise FaultError(f"a message of no line or several: {error!r}")


def _commanded(folder: Path, work: Path) -> str:
    from memaudit.cli.app import main as run

    out, err = io.StringIO(), io.StringIO()
    shutil.rmtree(work / "index", ignore_errors=True)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            run(
                [
                    "index",
                    "build",
                    str(folder),
                    "--out",
                    str(work / "index"),
                    "--embedder",
                    "pixels",
                ]
            )
            code: object = 0
        except SystemExit as end:
            code = end.code or 0
    if code not in (0, 2) or "Traceback" in err.getvalue():
        raise FaultError(f"exit {code}: {err.getvalue()[-500:]}")
    return f"exit {code}"


if __name__ == "__main__":
    PillowImage.init()
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]), len(sys.argv) > 5)

"""A conversion: check both places, let a process of its own open the file, keep what it wrote."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import TypeAdapter, ValidationError

from memaudit.config.convert import ConvertConfig
from memaudit.convert.result import Answer, Converted
from memaudit.errors import ModelError
from memaudit.files import in_place
from memaudit.foreign import open_regular, refusing

SUFFIX = ".safetensors"
PICKLED = (".ckpt", ".pt", ".pth", ".bin")
OTHERS = {  # what is refused by its name, and why
    SUFFIX: "is a .safetensors file already: give it to a scan as it is",
    ".npz": "holds arrays of numpy, not a checkpoint of torch: save it with safetensors.numpy",
    ".npy": "holds an array of numpy, not a checkpoint of torch: save it with safetensors.numpy",
    ".pkl": (
        "is a pickle with code in it, as EDM writes them: the classes of its networks stand in the "
        "file and are run when it is opened. Open it where it is trusted, with the program that "
        "wrote it, and save the state_dict of its network (ema, mostly) with safetensors"
    ),
}
OTHERS[".pickle"] = OTHERS[".pkl"]
BEGINNINGS = {  # what is refused by its first bytes
    b"version https://git-lfs": (
        "is the pointer of a file that Git LFS keeps, expected the file itself; fetch it with git "
        "lfs pull, or download the model again"
    ),
    b"GGUF": "is a GGUF file of quantized weights, which are not read; take the model's own",
    b"\x93NUMPY": OTHERS[".npy"],
}
KEPT = ("LD_LIBRARY_PATH", "PYTHONHOME")
WHY: dict[int, str] = {
    signal.SIGKILL: ", mostly for want of memory",
    signal.SIGXCPU: " because it took longer than weights in a file of its size explain",
}
LONGEST = 300  # characters of the last words of a process that failed


def convert(config: ConvertConfig) -> Converted:
    """Write the weights in a pickled checkpoint as .safetensors.

    The file is opened in a process of its own, which runs nothing of it; `out` is whole or absent.
    Raises ModelError if the file is none of plain weights, or if it is not clear which of several
    to take.
    """
    file, out = Path(config.file), Path(config.out)
    _check_file(file)
    _check_out(out)
    # A killed process leaves files under names of its own choice, too: it gets a folder for them.
    with in_place(out) as temporary, TemporaryDirectory(dir=out.parent, prefix=".memaudit-") as at:
        made = Path(at) / out.name
        answer = _ask(file, made, config.take)
        if answer.written is None:
            raise ModelError(f"{file} is not converted: {answer.refused}")
        with made.open("rb") as whole:
            sha256 = hashlib.file_digest(whole, "sha256").hexdigest()
        made.replace(temporary)
    return Converted(str(file), str(out), sha256, answer.written)


def _check_file(file: Path) -> None:
    """Refuse what is no checkpoint by its name or its first bytes."""
    suffix = file.suffix.lower()
    if suffix not in PICKLED:
        raise ModelError(f"{file} {OTHERS.get(suffix, f'is none of {", ".join(PICKLED)}')}")
    advice = "give a checkpoint that torch.save wrote"
    with refusing(lambda why: ModelError(f"{why}; {advice}"), str(file)), open_regular(file) as it:
        begin = it.read(32)
    for known, why in BEGINNINGS.items():
        if begin.startswith(known):
            raise ModelError(f"{file} {why}")
    if begin[8:9] == b"{":  # the length of its header comes first
        raise ModelError(f"{file} is a .safetensors file under another name: rename it")
    if not begin:
        raise ModelError(f"{file} is empty; copy or download it again")


def _check_out(out: Path) -> None:
    if out.suffix != SUFFIX:
        raise ModelError(f"{out} does not end in {SUFFIX}, which is what is written; name it so")
    if os.path.lexists(out):
        raise ModelError(f"{out} is there already; give another name, or remove it first")
    if not out.parent.is_dir():
        raise ModelError(f"{out.parent}, where {out.name} is to be, is no folder; make it first")


def _ask(file: Path, out: Path, key: str | None) -> Answer:
    """Start the process that opens the file, and hear what it says."""
    words = [str(file.absolute()), str(out.absolute()), *([] if key is None else [key])]
    done = subprocess.run(
        [sys.executable, "-P", "-W", "ignore", "-m", "memaudit.convert.child", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=_environment(),
        cwd="/",
        check=False,
    )
    try:
        if done.returncode == 0:
            answer: Answer = TypeAdapter(Answer).validate_json(done.stdout)
            return answer
    except ValidationError:
        pass
    raise ModelError(f"{file} is not converted: {_last_words(done)}")


def _environment() -> dict[str, str]:
    """What the process needs to find torch and memaudit, and no secrets of this one."""
    places = [os.path.abspath(place) for place in sys.path if place]  # noqa: PTH100  # may be a zip
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return kept | {
        "PYTHONPATH": os.pathsep.join(places),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }


def _last_words(done: subprocess.CompletedProcess[bytes]) -> str:
    """Why a process ended without an answer."""
    if done.returncode < 0:
        number = -done.returncode
        known = number in {one.value for one in signal.Signals}
        name = signal.Signals(number).name if known else f"signal {number}"
        why = WHY.get(number, "")
        return f"the process that opened it was ended by {name}{why}; nothing was written"
    said = done.stderr.decode(errors="replace").strip().split("\n")[-1]
    return (
        f"the process that opened it ended with code {done.returncode} and no answer "
        f"({said[:LONGEST] or 'it said nothing'}); nothing was written"
    )

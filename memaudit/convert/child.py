"""The process that opens a pickled checkpoint: the one place where anything is unpickled.

It is started by `memaudit.convert.pipeline` as `python -m memaudit.convert.child FILE OUT [KEY]`,
and tells on stdout, in JSON, what it wrote to OUT, which lies in a folder made for it, or why it
wrote nothing. The unpickler is that of torch for weights alone, which makes tensors, numbers, texts
and containers and calls nothing else. So that a file made for it cannot fill this machine, memory
is limited by its size.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import resource
import sys
import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint

from memaudit.convert.containers import NAMED, StateDict, find, left_out, short, take
from memaudit.convert.result import Answer, Written
from memaudit.convert.tensors import whole
from memaudit.errors import MemauditError, ModelError, out_of_memory
from memaudit.foreign import reason

SLACK = 1 << 30  # bytes of memory beside what the file's tensors take
TIMES = 4  # as many bytes as the file: mapped, unpickled, copied, written
SECONDS, PER_BYTE = 300, 60 / (1 << 30)  # of computing that a file explains
STATM = Path("/proc/self/statm")
ASKED = re.compile(r"GLOBAL (\S+)")
SHOWN = 4  # names of what a pickle asks for
EMA, RAW = "model_ema.", "model."  # how names begin in checkpoints that keep both
OTHERWISE = (
    "Open it where it is trusted, save the state_dict alone (torch.save(model.state_dict(), ...)), "
    "and convert that"
)


def main(arguments: list[str]) -> None:
    """Convert, and print an Answer."""
    file, out, *key = arguments
    try:
        answer = Answer(written=_convert(Path(file), Path(out), key[0] if key else None))
    except MemauditError as error:
        answer = Answer(refused=str(error))
    except Exception as error:
        answer = Answer(refused=_told(error))
    sys.stdout.write(json.dumps(asdict(answer)))


def _convert(file: Path, out: Path, key: str | None) -> Written:
    held = file.stat().st_size
    _limit_memory(held)
    with file.open("rb") as opened:
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    content = _unpickle(file)
    taken = take(find(content), key)
    tensors = whole(taken.tensors, held)
    _write(tensors, out, {"source_sha256": sha256, "taken": taken.name})
    return _written(content, taken, tensors, sha256)


def _unpickle(file: Path) -> Any:
    """What torch.save wrote; raises ModelError for whatever is no plain weights."""
    try:
        if _can_be_mapped(file):
            return torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        with file.open("rb") as opened:
            return torch.load(opened, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise ModelError(_refusal(file, str(error))) from error
    except Exception as error:
        if out_of_memory(error):
            raise
        if "TorchScript" in str(error):
            raise ModelError(
                "it is a TorchScript program, which is code, and nothing of it was run. "
                f"{OTHERWISE}"
            ) from error
        why = reason(error).partition(". ")[0]
        raise ModelError(
            f"it cannot be read as what torch.save writes ({type(error).__name__}: {why[:200]}): "
            "copy or download it again"
        ) from error


def _refusal(file: Path, said: str) -> str:
    """Say what a pickle asks for beside weights, or that it is no pickle of torch."""
    asked = set(ASKED.findall(said))
    try:
        asked |= set(get_unsafe_globals_in_checkpoint(file))
    except Exception:  # of old, or so damaged that it cannot be told
        asked = asked or set()
    if not asked:
        why = said.rpartition("WeightsUnpickler error:")[2].strip().partition("\n")[0]
        return (
            f"its pickle is none of plain weights as torch.save writes them ({why[:200]}), and "
            f"nothing of it was run. {OTHERWISE}"
        )
    names = ", ".join(short(name) for name in sorted(asked)[:SHOWN])
    more = f" and {len(asked) - SHOWN} more" if len(asked) > SHOWN else ""
    return (
        f"beside tensors its pickle asks for {names}{more}, which takes code to make, and nothing "
        f"of it was run. {OTHERWISE}"
    )


def _can_be_mapped(file: Path) -> bool:
    """Whether the tensors stand in the file as they are: a zip archive without compression."""
    if not str(file).isprintable():  # torch maps files by names that are text
        return False
    with file.open("rb") as opened:
        if opened.read(4) != b"PK\x03\x04":
            return False
    try:
        with zipfile.ZipFile(file) as archive:
            return all(one.compress_type == zipfile.ZIP_STORED for one in archive.infolist())
    except zipfile.BadZipFile:
        return False


def _write(tensors: dict[str, Tensor], out: Path, metadata: dict[str, str]) -> None:
    """Write the file and read its header again."""
    try:
        save_file(tensors, out, metadata={"format": "pt", **metadata})
        out.chmod(0o666 & ~os.umask(0o077))  # safetensors lets nobody else read it
        with safe_open(out, framework="pt") as written:
            there = set(written.keys())
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"the result cannot be written into {out.parent.parent}: {reason(error)}; give another "
            "place"
        ) from error
    if there != tensors.keys():
        raise ModelError("the result lacks tensors after it was written; try another disk")


def _written(content: Any, taken: StateDict, tensors: Mapping[str, Tensor], sha256: str) -> Written:
    beside = list(islice(left_out(content, taken), NAMED))
    return Written(
        taken=taken.name,
        tensors=len(tensors),
        numbers=sum(tensor.numel() for tensor in tensors.values()),
        dtypes=dict(Counter(str(one.dtype).removeprefix("torch.") for one in tensors.values())),
        left_out=tuple(beside),
        more=sum(1 for _ in left_out(content, taken)) - len(beside),
        ema_beside_raw=all(any(name.startswith(one) for name in tensors) for one in (EMA, RAW)),
        sha256=sha256,
    )


def _limit_memory(held: int) -> None:
    """Let this process take what a file of this size explains, and no core dump."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    seconds = int(SECONDS + PER_BYTE * held)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.RLIM_INFINITY))
    if not STATM.exists():
        return
    taken = int(STATM.read_text().split()[0]) * resource.getpagesize()
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    limit = taken + TIMES * held + SLACK
    limit = limit if most == resource.RLIM_INFINITY else min(limit, most)
    resource.setrlimit(resource.RLIMIT_AS, (limit, most))


def _told(error: Exception) -> str:
    if out_of_memory(error):
        return (
            "it takes more memory than there is, or than weights in a file of its size explain; "
            "convert it on a larger machine, if it is trusted"
        )
    return f"it cannot be converted: {type(error).__name__}: {reason(error)}"


if __name__ == "__main__":
    main(sys.argv[1:])

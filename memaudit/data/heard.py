"""What a library in C writes to stderr itself, caught and made remarks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile

from memaudit.progress import remark

STDERR = 2
LONGEST = 1 << 16  # bytes that are read of it
LINES = 3


@contextmanager
def heard(who: str, about: str = "") -> Iterator[None]:
    """Say as remarks what `who` writes meanwhile, its first lines; where stderr is closed, nothing.

    `about` names the image that it is about, where that is known; a command prints the same words
    of the first image alone. Whatever else writes to stderr in this process meanwhile is caught
    with it.
    """
    try:
        kept = os.dup(STDERR)
    except OSError:
        yield
        return
    with TemporaryFile() as caught:
        os.dup2(caught.fileno(), STDERR)
        try:
            yield
        finally:
            os.dup2(kept, STDERR)
            os.close(kept)
            caught.seek(0)
            text = caught.read(LONGEST).decode("utf-8", "backslashreplace")
            for line in list(dict.fromkeys(text.splitlines()))[:LINES]:
                remark(f"{who} says of {about or 'an image'}: {line}", kind=f"{who}: {line}")

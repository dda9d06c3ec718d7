"""Progress: how a long task tells where it is, and what it met on the way."""

from __future__ import annotations

import logging
from collections.abc import Callable

Progress = Callable[[str, int, int], None]  # stage, done, total
LOGGER = logging.getLogger("memaudit")


def silent(stage: str, done: int, total: int) -> None:
    """Say nothing."""


def tell(text: str) -> None:
    """Say what is going on, in a line on stderr where a command runs.

    It is said by the logger "memaudit" at the level of information, to which nobody listens else.
    """
    LOGGER.info("%s", text)


def remark(text: str, kind: str = "") -> None:
    """Say what somebody should know at once, in a line on stderr; a program may listen instead.

    It is a warning of the logger "memaudit". Of remarks of one `kind` a command prints the first.
    """
    LOGGER.warning("%s", text, extra={"kind": kind or text})

"""The command line: parse, build one configuration, make one call, print one summary.

Heavy libraries are imported inside the commands, so that `memaudit --help` stays quick.
"""

from __future__ import annotations

import sys
from typing import NoReturn

INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code; also where it is interrupted early."""
    try:
        from memaudit.cli.app import main as run
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    run(arguments)

"""The `memaudit` command, and what every error ends in."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from typing import NoReturn

import click

import memaudit
from memaudit.cli import INTERRUPTED
from memaudit.cli.calibrate import calibrate
from memaudit.cli.compare import compare
from memaudit.cli.convert import convert
from memaudit.cli.demo import demo
from memaudit.cli.doctor import doctor
from memaudit.cli.gate import gate
from memaudit.cli.index import index
from memaudit.cli.inspect import inspect
from memaudit.cli.plan import plan
from memaudit.cli.report import report
from memaudit.cli.scan import scan
from memaudit.cli.split import split
from memaudit.cli.terminal import complain, listening, refuse
from memaudit.cli.train import train
from memaudit.cli.verify import verify
from memaudit.errors import MemauditError, out_of_memory

USAGE, INTERNAL = 2, 3
FULL = (errno.ENOSPC, errno.EDQUOT)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(memaudit.__version__, prog_name="memaudit")
def cli() -> None:
    """Audit image diffusion models for memorization of their training images.

    Exit codes: 0 done; 1 gate or verification failed; 2 usage, configuration or input; 3 internal
    or missing dependency; 4 inconclusive; 130 interrupted.
    """


for command in (
    *(scan, plan, calibrate, compare, report, verify, gate),
    *(inspect, convert, split, train, index, demo, doctor),
):
    cli.add_command(command)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code; never with a traceback."""
    try:
        with listening():
            code = cli.main(arguments, prog_name="memaudit", standalone_mode=False)
    except click.ClickException as error:
        refuse(error)
        code = USAGE
    except (KeyboardInterrupt, click.Abort):
        complain("interrupted; what was finished is kept, the same command continues it")
        code = INTERRUPTED
    except MemauditError as error:
        complain(f"error: {error}")
        code = error.exit_code
    except SystemExit:  # click, where the reader of a pipe went away; 1 would be a failed gate
        code = INTERNAL
    except Exception as error:
        code = _unexpected(error)
    sys.exit(code if isinstance(code, int) else 0)


def _unexpected(error: Exception) -> int:
    code = INTERNAL
    if isinstance(error, OSError) and error.filename:
        path = error.filename2 or error.filename  # of a renamed file its new name
        complain(f"error: {path}: {error.strerror}; check the path and its permissions")
        code = USAGE
    elif isinstance(error, OSError) and error.errno in FULL:
        complain(
            f"error: the output cannot be written: {error.strerror}; free some space where it "
            "goes, then run the same command again"
        )
    elif out_of_memory(error):
        complain(
            "error: out of memory; run the same command with a smaller --batch-size: what was "
            "finished is kept"
        )
    else:
        complain(
            f"internal error: {type(error).__name__}: {error}. Finished work is kept. Set "
            "MEMAUDIT_DEBUG=1 to see where it happened, and please report it"
        )
    if os.environ.get("MEMAUDIT_DEBUG"):
        traceback.print_exception(error)
    return code

"""The command line: parse, build one configuration, make one call, print one summary.

Heavy libraries are imported inside the commands, so that `memaudit --help` stays quick.
"""

from memaudit.cli.app import main

__all__ = ["main"]

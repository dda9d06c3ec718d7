"""`memaudit doctor`."""

from __future__ import annotations

import click

from memaudit.cli import options
from memaudit.cli.terminal import say, say_json


@click.command()
@options.JSON
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Check this machine: versions, devices, embedder weights, the cache, rival FAISS wheels."""
    from memaudit.doctor import examine

    checks = examine()
    if as_json:
        say_json([check.__dict__ for check in checks])
    else:
        for check in checks:
            say(f"{'ok  ' if check.ok else 'FAIL'}  {check.name:14s} {check.found}")
            if check.advice:
                say(f"{'':20s} {check.advice}")
    context.exit(0 if all(check.ok for check in checks) else 3)

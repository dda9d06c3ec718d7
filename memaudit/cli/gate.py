"""`memaudit gate`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from memaudit.cli import options
from memaudit.cli.disk import name_full_disk
from memaudit.cli.terminal import say, say_json, tell_runner
from memaudit.config import GateConfig
from memaudit.errors import ConfigError
from memaudit.text import shown


def _init(context: click.Context, _: click.Parameter, path: Path | None) -> None:
    """Write a policy to start from, and leave."""
    if path is None:
        return
    from memaudit.gate.policy import example

    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(example())
    except FileExistsError as error:
        raise ConfigError(f"{path} is there already; name another file") from error
    name = shown(str(path))
    say(f"wrote {name}; change it, then: memaudit gate RUN --policy {name}")
    context.exit(0)


@click.command()
@click.argument("run", metavar="RUN")
@options.of(GateConfig, "run")
@click.option(
    "--init",
    metavar="FILE",
    type=click.Path(path_type=Path),
    is_eager=True,
    expose_value=False,
    callback=_init,
    help="Write a policy with comments to start from, and leave.",
)
@options.JSON
@click.pass_context
def gate(context: click.Context, /, run: str, as_json: bool, **values: Any) -> None:
    """Let a pipeline pass, or stop it, by the finished scan in RUN.

    Without --policy it fails on a verdict of evidence, and cannot tell if the scan is inconclusive.
    On GitHub it also writes annotations, and a summary of the job. No model is loaded.

    Exits with 0 to pass, 1 to fail, 4 if it cannot tell; with 2 if RUN or the policy is no good.
    """
    config = GateConfig(run, **values)
    from memaudit.gate import formats, words
    from memaudit.gate.pipeline import gate as decide

    written = (config.junit, config.sarif, config.gitlab)
    with name_full_disk(*(Path(one).parent for one in written if one), Path.cwd()):
        gated = decide(config)
    if as_json:
        say_json(formats.to_json(gated))
    else:
        say(words.describe(gated))
    if os.environ.get("GITHUB_ACTIONS") == "true":
        _tell_github(formats.to_annotations(gated), words.section(gated))
    context.exit(gated.exit_code)


def _tell_github(annotations: list[str], summary: str) -> None:
    """Workflow commands are read from stderr too, so that --json stays whole."""
    for line in annotations:
        tell_runner(line)
    if path := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(summary)

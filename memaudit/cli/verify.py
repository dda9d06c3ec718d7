"""`memaudit verify`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from memaudit.cli import options
from memaudit.cli.disk import name_full_disk
from memaudit.cli.progress import bars
from memaudit.cli.terminal import complain, say, say_json
from memaudit.config import ReplayConfig, VerifyConfig
from memaudit.config.fields import build

if TYPE_CHECKING:
    from memaudit.audit.replay import Replayed

DIFFERS = 1


@click.command()
@click.argument("run", metavar="RUN|ZIP")
@options.of(VerifyConfig, "run")
@click.option("--verbose", is_flag=True, help="With --replay: the deviations image by image.")
@options.JSON
@click.pass_context
def verify(
    context: click.Context, /, run: str, verbose: bool, as_json: bool, **values: Any
) -> None:
    """Check that a finished run, or an evidence.zip, is as it was written.

    Each file that was changed, is missing or was added is named; of a zip nothing is unpacked. With
    --replay N the model is loaded again, N findings are repeated from their seeds, and the largest
    deviation of each column is printed.

    Exits with 0 if all is as it was, with 1 if something differs, with 2 if RUN|ZIP is not
    finished or cannot be read.
    """
    config = build(VerifyConfig, {"run": run, **values})
    from memaudit.verify import words
    from memaudit.verify.pipeline import verify as check

    checked = check(config)
    if not as_json:
        say(words.describe(checked))
    replayed = None
    if config.again is not None and checked.passes:
        replayed = _replay(run, config.again, verbose, as_json)
    elif config.again is not None:
        complain("nothing is repeated, because what would be compared was changed")
    passes = checked.passes and (replayed is None or replayed.passes)
    if as_json:
        say_json(_json(words.to_json(checked), replayed, passes))
    context.exit(0 if passes else DIFFERS)


def _replay(run: str, asked: ReplayConfig, verbose: bool, as_json: bool) -> Replayed:
    from memaudit.audit.cache import cache_directory
    from memaudit.audit.replay import replay
    from memaudit.audit.replay_words import describe

    with bars() as progress, name_full_disk(asked.index or cache_directory()):
        replayed = replay(run, asked, progress)
    if not as_json:
        say(describe(replayed, verbose))
    return replayed


def _json(checked: dict[str, Any], replayed: Replayed | None, passes: bool) -> dict[str, Any]:
    told = None
    if replayed is not None:
        from memaudit.audit.replay_words import to_json

        told = to_json(replayed)
    state = {"state": "pass" if passes else "fail", "exit_code": 0 if passes else DIFFERS}
    return {"format": 1, **state, **checked, "replay": told}

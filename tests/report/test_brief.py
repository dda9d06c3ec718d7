"""What a scan ends with: few lines, in the words of the report, and harmless in any terminal."""

import io
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from recorded import ALL, evidence, inconclusive, none
from rich.console import Console

from memaudit.cli.layout import lay_out
from memaudit.report import plain
from memaudit.report.brief import brief
from memaudit.report.kinds import NOT_ASKED, kinds
from memaudit.report.words import describe
from memaudit.run.record import Record

MOST_LINES = 15
HOSTILE = "\x1b[2J\x1b]0;pwn\x07\u202eout\n[red]né\x9b1m"
PROGRAM = """
import sys
from dataclasses import replace
from recorded import evidence
from memaudit.cli.terminal import say_scan
record = evidence()
say_scan(replace(record, config=replace(record.config, out=sys.argv[1])), verbose=False)
"""
SEQUENCE = re.compile(r"\x1b\[[0-9;]*m")  # colours and bold letters: nothing moves
COLOUR = re.compile(r"\x1b\[[0-9;]*3[1-7]m")

made = pytest.mark.parametrize("made", ALL, ids=lambda one: one.__name__)


def laid_out(record: Record, width: int) -> str:
    file = io.StringIO()
    lay_out(brief(record), Console(file=file, width=width, color_system=None))
    return file.getvalue()


@made
def test_a_scan_ends_in_at_most_fifteen_lines(made: Callable[[], Record]) -> None:
    text = laid_out(made(), 80)
    assert text.count("\n") <= MOST_LINES
    said = brief(made())
    assert len(said.heads) + len(said.lines) + len(said.places) <= MOST_LINES
    assert text.splitlines()[-1] == "Report: run/report.html"


@made
@pytest.mark.parametrize("width", [20, 40, 59, 60, 200])
def test_all_is_said_at_any_width(made: Callable[[], Record], width: int) -> None:
    text = laid_out(made(), width)
    assert all(len(line) <= max(width, 40) for line in text.splitlines())
    for line in brief(made()).lines:
        assert "".join(line.text.split()) in "".join(text.split())


def test_many_reasons_are_told_in_few_lines_and_the_first_in_full() -> None:
    reasons = tuple(f"reason {k}: {'what was found and what was expected ' * 6}" for k in range(6))
    verdict = replace(inconclusive().verdict, reasons=reasons)
    text = laid_out(replace(inconclusive(), verdict=verdict), 80)
    assert text.count("\n") <= MOST_LINES
    assert "reason 0: what was found" in text
    assert "more reasons" in text


@made
def test_summary_report_and_last_lines_say_the_same(made: Callable[[], Record]) -> None:
    record = made()
    page = " ".join([*plain.sure(record), *plain.untested(record), *plain.to_do(record)])
    said = {line.name: line.text for line in brief(record).lines}
    told = " ".join(describe(record).split())
    assert record.verdict.sentence in told
    assert plain.claims(record.summary.flagged) in told
    if made is evidence:
        assert plain.INNOCENT in said["How sure"]
        assert f"{plain.INNOCENT[1:]}." in told
        assert f"{plain.INNOCENT[1:]}:" in page
    if made is none:
        assert plain.finds(record.summary.conduct.power)[1:] in page
        assert "nothing was found that would let one side come back better" in page
        assert "two sides show no difference" in told
    if made is inconclusive:
        assert plain.NOTHING_SAID in said["How sure"]
        assert plain.NOTHING_SAID in told
        assert plain.NOTHING_SAID in plain.headline(record)


def in_terminal(path: str, **environment: str) -> str:
    """What the program prints into a terminal of 80 columns."""
    main, side = pty.openpty()
    clean = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "TERM", "FORCE_COLOR")}
    tests = str(Path(__file__).parents[1])
    paths = os.pathsep.join([tests, str(Path(tests).parent), os.environ.get("PYTHONPATH", "")])
    given = {**clean, "PYTHONPATH": paths, "COLUMNS": "80", "TERM": "xterm-256color", **environment}
    command = [sys.executable, "-c", PROGRAM, path]
    with subprocess.Popen(command, stdout=side, stderr=side, env=given) as program:
        os.close(side)
        text = b""
        while True:
            try:
                text += os.read(main, 1 << 16)
            except OSError:  # the program closed its end
                break
        assert program.wait() == 0, text
    os.close(main)
    return text.decode()


def test_a_terminal_gets_colours_and_no_name_moves_its_cursor() -> None:
    text = in_terminal(HOSTILE)
    assert COLOUR.search(text)
    assert "\x1b" not in SEQUENCE.sub("", text)
    assert all(one.isprintable() or one in "\r\n" for one in SEQUENCE.sub("", text))
    assert r"[red]né\x9b1m" in text


@pytest.mark.parametrize(
    ("environment", "found"),
    [({"NO_COLOR": "1"}, COLOUR), ({"TERM": "dumb"}, SEQUENCE), ({"TERM": "unknown"}, COLOUR)],
)
def test_no_colour_where_none_is_wanted(
    environment: dict[str, str], found: re.Pattern[str]
) -> None:
    assert not found.search(in_terminal("run", **environment))


def test_letters_that_the_terminal_does_not_have_are_escaped() -> None:
    assert r"n\xe9" in in_terminal(HOSTILE, PYTHONIOENCODING="ascii")


def test_a_reader_of_membership_is_not_told_to_look_for_copies() -> None:
    copies = evidence()
    assert plain.ALIKE in " ".join(plain.to_do(copies))
    alone = replace(copies, verdict=replace(copies.verdict, claim="membership"))
    assert plain.UNLIKE in " ".join(plain.to_do(alone))
    assert plain.ALIKE not in " ".join(plain.to_do(alone))


def test_no_probability_on_page_one_can_be_taken_for_that_of_innocence() -> None:
    sure = list(plain.sure(evidence()))
    [of_scans] = [said for said in sure if "at most 5 end in evidence" in said]
    [of_data] = [said for said in sure if "Luck alone brings one" in said]
    assert "how likely it is that this model memorized nothing, no scan can tell" in of_scans
    assert "How likely it is that this model treats both alike, no scan can tell" in of_data


def test_a_copy_is_not_told_to_be_no_member() -> None:
    membership, reproduction, generated = kinds(evidence())
    assert membership.name == "Membership only"
    assert "and that it was trained on, too" in reproduction.meaning
    assert generated.count == NOT_ASKED

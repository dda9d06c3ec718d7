"""The last lines of a command, laid out for a terminal."""

from __future__ import annotations

from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from memaudit.report.brief import Brief, Line
from memaudit.statistics.verdict import Outcome

NARROW = 60  # columns; below, names get no column of their own
STYLES: dict[Outcome | None, str] = {
    Outcome.EVIDENCE: "bold red",
    Outcome.NONE: "bold blue",
    Outcome.INCONCLUSIVE: "bold yellow",
    None: "bold",
}
NAME = "bold"


def lay_out(brief: Brief, console: Console) -> None:
    """Print a brief whose texts are fit for a terminal; paths are never broken into lines."""
    for head in brief.heads:
        console.print(Text(head, STYLES[brief.outcome], overflow="fold"))
    if brief.lines:
        lines = _below if console.width < NARROW else _beside
        console.print(lines(brief.lines))
    for place in brief.places:
        path = Text.assemble((f"{place.name}: ", NAME), place.text)
        console.print(path, soft_wrap=True)


def _beside(lines: tuple[Line, ...]) -> Padding:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style=NAME, no_wrap=True)
    table.add_column(overflow="fold")
    for line in lines:
        table.add_row(Text(line.name), Text(line.text))
    return Padding(table, (0, 0, 0, 2))


def _below(lines: tuple[Line, ...]) -> Group:
    return Group(
        *(Text.assemble((f"{one.name}: ", NAME), one.text, overflow="fold") for one in lines)
    )

"""A report as one HTML file that needs no network and runs no script but its own."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from memaudit.report import charts
from memaudit.report.finished import Reported
from memaudit.report.page import page
from memaudit.text import KEPT, shown
from memaudit.version import __version__

SEVERAL_LINES = f"{KEPT}\n"
TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Compared:
    """What a comparison says: sentences, what to know of them, and its whole text."""

    sentences: tuple[str, ...]
    remarks: tuple[str, ...]
    text: str


def html(runs: Sequence[Reported], compared: Compared | None = None) -> str:
    """Make the report of one run, or of several with their comparison."""
    style, script = (_source(name) for name in ("page.css", "table.js"))
    allowed = f"img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    return _templates().get_template("report.html").render(
        pages=[page(run, f"run-{k}") for k, run in enumerate(runs, start=1)],
        compared=compared,
        style=Markup(style),
        script=Markup(script),
        policy=f"default-src 'none'; {allowed}",
        version=__version__,
        charts=charts,
    )  # fmt: skip


def _hash(source: str) -> str:
    """What a content security policy calls an inline script or style."""
    return f"sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}"


def _source(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def island(content: object) -> Markup:
    """JSON for a script element: no text in it can end that element."""
    return htmlsafe_json_dumps(content, dumps=_dumps)


def _dumps(content: object) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _visible(value: object) -> object:
    """Escape in texts what is not seen and what turns the direction of writing."""
    return shown(value, SEVERAL_LINES) if type(value) is str else value


@cache
def _templates() -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        finalize=_visible,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["island"] = island
    return made

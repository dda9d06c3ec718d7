"""Text of another's making (names of files, captions, classes), made fit for where it goes."""

from __future__ import annotations

import re
import unicodedata

KEPT = "\u200c\u200d\u00a0\u3000"  # joiners of letters and of emoji, and spaces: they do no harm
FORMULA = ("=", "+", "-", "@")
MARKUP = re.compile(r"([\\`*_{}\[\]>#|!~$])")


def shown(text: str, kept: str = KEPT) -> str:
    """Fit for one line of a terminal.

    What is no plain letter is escaped: new lines, escape sequences, marks that turn the direction
    of writing, bytes of a name that are no text.
    """
    return "".join(one if one.isprintable() or one in kept else _escaped(one) for one in text)


def cell(text: str) -> str:
    """Fit for a cell of a table that a spreadsheet opens.

    Text that it would run as a formula gets a ' in front: what comes first in it, spaces, new lines
    and all that is not seen apart, is one of =, +, -, @, in any width, or it begins with a tab.
    Carriage returns become spaces, and what is no plain letter, a tab or a new line is escaped.
    """
    seen = (one for one in text if one.isprintable() and not one.isspace())
    first = unicodedata.normalize("NFKC", next(seen, ""))
    visible = shown(text.replace("\r", " "), f"{KEPT}\n\t")
    return f"'{visible}" if first.startswith(FORMULA) or text.startswith(("\t", "\r")) else visible


def markdown(text: str) -> str:
    """Fit for one line of Markdown, in a table too: nothing in it is markup."""
    line = MARKUP.sub(r"\\\1", shown(" ".join(text.split())))
    return line.replace("&", "&amp;").replace("<", "&lt;")


def encodable(text: str) -> str:
    r"""Fit for UTF-8: bytes that are none, and lone surrogates, become \x.. and \u...."""
    try:
        raw = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raw = text.encode("utf-8", "backslashreplace")
    return raw.decode("utf-8", "backslashreplace")


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode()

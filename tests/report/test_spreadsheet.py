"""LibreOffice opens the tables of findings and computes nothing."""

import csv
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from published import published
from recorded import evidence

from memaudit.report.attachments import attachments

SOFFICE = shutil.which("soffice")
FORMULAS = [
    *("=1+1", "+1+1", "-1+1", "@SUM(1)", "\t=1+1", "\r=1+1", " =1+1", "\n=1+1", "\uff1d1+1"),
    *("=cmd|' /C calc'!A0", '=HYPERLINK("http://x","y")', '=WEBSERVICE("http://x")', "{=1+1}"),
    *('a\nb,"c', "\u202e=1+1", "\u200b=1+1", "\x00=1+1", '"=1+1"', "'=1+1", "\ufeff=1+1", ",=1+1"),
]


def formulas(table: Path) -> int:
    """How many cells LibreOffice takes for formulas."""
    assert SOFFICE is not None
    profile = f"-env:UserInstallation={(table.parent / 'profile').as_uri()}"
    words = [
        SOFFICE,
        profile,
        "--headless",
        "--convert-to",
        "xlsx",
        "--outdir",
        table.parent,
        table,
    ]
    subprocess.run(words, check=True, capture_output=True, timeout=120)
    with zipfile.ZipFile(table.with_suffix(".xlsx")) as book:
        return book.read("xl/worksheets/sheet1.xml").count(b"<f")


@pytest.mark.slow
@pytest.mark.skipif(SOFFICE is None, reason="LibreOffice is not installed")
@pytest.mark.parametrize("mark", [False, True], ids=["plain", "marked"])
def test_no_caption_name_or_reason_is_computed(mark, tmp_path):
    run = published(evidence(), count=len(FORMULAS))
    for name in ("prompt", "source", "reason"):
        run.findings[name] = FORMULAS
    for name, content in attachments([run], mark=mark):
        (tmp_path / name).write_bytes(content)
        assert formulas(tmp_path / name) == 0
    with (tmp_path / "raw.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([one] for one in FORMULAS)
    assert formulas(tmp_path / "raw.csv") > 0

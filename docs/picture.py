"""Take the picture of the README: the first page of the report of a finished scan.

    python docs/picture.py RUN OUT.png --browser chromium

Takes Chromium, or another browser with the same options. Paths are shown as they are from here.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

from PIL import Image

from memaudit.report.finished import read_reported
from memaudit.report.html import html

SIZE = "1080,2600"  # of the window, pixels
COLOURS = 255  # enough for text and strips, at half the size


def main() -> None:
    """Read the run, open its report in the browser, keep what is seen."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--browser", default="chromium")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        report = html([read_reported(str(given.run))]).replace(f"{Path.cwd()}/", "")
        page.write_text(report, encoding="utf-8")
        options = ("--headless", "--no-sandbox", "--hide-scrollbars", f"--window-size={SIZE}")
        seen = Path(folder) / "seen.png"
        subprocess.run(
            [given.browser, *options, f"--screenshot={seen}", page.as_uri()],
            check=True,
            capture_output=True,
        )
        with Image.open(seen) as picture:
            picture.convert("RGB").quantize(COLOURS).save(given.out, optimize=True)


if __name__ == "__main__":
    main()

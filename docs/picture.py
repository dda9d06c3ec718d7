"""Draw a finished scan as one picture: its summary above the first strips of its flagged images.

    python docs/picture.py RUN OUT.png

The font is any monospaced TrueType file, or the name of one that is installed.
"""

from __future__ import annotations

import argparse
import csv
import textwrap
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

FONT = "DejaVuSansMono.ttf"
WIDTH, MARGIN, GAP, SPACING = 1000, 24, 10, 6
LONGEST = 118  # characters; longer lines are folded
STRIPS = 3
COLUMNS = ("original", "corrupted", "reconstruction", "nearest other")
BACKGROUND, TEXT, FAINT = "#fbfbf9", "#1c1c1c", "#6a6a6a"


def main() -> None:
    """Read the run, draw it, write the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--font", default=FONT)
    given = parser.parse_args()
    draw_run(given.run, given.font).save(given.out, optimize=True)


def draw_run(run: Path, font: str) -> Image.Image:
    """Draw summary.txt of a run and the strips of its highest scores."""
    text = read_summary(run)
    large, small = fitting_font(font, text), ImageFont.truetype(font, 13)
    paths = sorted((run / "images").glob("*.png"))[:STRIPS]
    strips = [Image.open(path).convert("RGB") for path in paths]
    y = MARGIN + round(text_height(text, large)) + 2 * GAP
    height = y + 2 * GAP + sum(strip.height + GAP for strip in strips) + MARGIN - GAP
    canvas = Image.new("RGB", (WIDTH, height), BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    draw.text((MARGIN, MARGIN), text, TEXT, large, spacing=SPACING)
    for k, name in enumerate(COLUMNS if strips else ()):
        x = MARGIN + (k + 0.5) * strips[0].width / len(COLUMNS)
        draw.text((x, y), name, FAINT, small, anchor="ma")
    y += 2 * GAP
    for path, strip in zip(paths, strips, strict=True):
        canvas.paste(strip, (MARGIN, y))
        beside = (2 * MARGIN + strip.width, y)
        draw.text(beside, caption(run, path), FAINT, small, spacing=SPACING)
        y += strip.height + GAP
    return canvas


def read_summary(run: Path) -> str:
    """Give the summary, its paths relative to here and its long lines folded."""
    text = (run / "summary.txt").read_text(encoding="utf-8").replace(f"{Path.cwd()}/", "")
    indent = " " * 17  # where the values of the summary begin
    folded = [
        textwrap.fill(line, LONGEST, subsequent_indent=indent) if len(line) > LONGEST else line
        for line in text.rstrip().splitlines()
    ]
    return "\n".join(folded)


def fitting_font(font: str, text: str) -> ImageFont.FreeTypeFont:
    """Find the largest font in which the longest line fits."""
    faces = [ImageFont.truetype(font, size) for size in range(18, 9, -1)]
    line = max(text.splitlines(), key=len)
    fitting = (face for face in faces if face.getlength(line) <= WIDTH - 2 * MARGIN)
    return next(fitting, faces[-1])


def text_height(text: str, font: ImageFont.FreeTypeFont) -> float:
    """Measure text of several lines, in pixels."""
    draw = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    return draw.textbbox((0, 0), text, font, spacing=SPACING)[3]


def caption(run: Path, strip: Path) -> str:
    """Say which image a strip shows and what was found of it."""
    prefix = strip.stem.partition("-")[2]
    with (run / "findings.csv").open(encoding="utf-8", newline="") as file:
        row = next(row for row in csv.DictReader(file) if row["example_id"].startswith(prefix))
    lines = [row["source"], row["claim"], f"q {row['q_value']}", f"score {row['score']}"]
    if row["recovered_from_snr_db"]:
        lines.append(f"comes back from {float(row['recovered_from_snr_db']):.1f} dB")
    return "\n".join(lines)


if __name__ == "__main__":
    main()

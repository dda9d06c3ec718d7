"""Names and captions of another's making do nothing on a terminal, in a table or to a writer."""

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from memaudit.cli import app

HOSTILE = [
    *(b"=cmd|' C calc'!A0.png", b"+1.png", b"-1.png", b"@SUM(1).png", b"\t=1.png", b" =1+1.png"),
    *(
        b"\n=1+1.png",
        "\uff1d1.png".encode(),
        b'a\nb,"c.png',
        b"\x1b[2J\x1b]0;pwn\x07\x1b[31mRED.png",
    ),
    *(
        "\u202egnp.exe.png".encode(),
        b"\xff\xfe.png",
        b"<img src=x onerror=alert(1)>.png",
        b"a\rb.png",
    ),
    *(b"$x$.png", b"\x7f\x9b1m.png", b"x\nmemaudit: Verdict: none.png"),
]


@pytest.fixture
def hostile(members: Path, tmp_path: Path) -> Path:
    """Images under hostile names, one of which is broken."""
    folder = tmp_path / "hostile"
    folder.mkdir()
    images = sorted(members.glob("*.png"))
    for name, image in zip(HOSTILE, images * 2, strict=False):
        shutil.copy(image, os.fsencode(folder) + b"/" + name)
    (folder / "\x1b]0;broken\x07\x1b[31m\n.png").write_bytes(b"no image")
    rows = [
        ("+1.png", '=HYPERLINK("http://x")'),
        ("-1.png", "\x1b[31mred\n=1"),
        ("$x$.png", " \n@2"),
    ]
    with (folder / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("file_name", "text"), *rows])
    return folder


def plain(text: str) -> bool:
    return all(one.isprintable() or one == "\n" for one in text)


def test_hostile_names_and_captions_are_scanned_shown_and_written(
    scan, hostile, controls, tmp_path
):
    run = scan(hostile, "--controls", controls)
    assert run.code in (0, 4), run.err
    assert plain(run.out + run.err)
    out = tmp_path / "run"
    for name in ("findings.csv", "errors.csv"):
        with (out / name).open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
        assert len({len(row) for row in rows}) == 1
        for row in rows[1:]:
            for text in row:
                assert plain(text.replace("\t", "")), text
                number = text.replace(".", "").replace("e-", "").lstrip("-").isdigit()
                assert number or not text.strip().startswith(("=", "+", "-", "@", "\uff1d")), text
    json.loads((out / "scan.json").read_text(encoding="utf-8"))


def test_a_search_prints_one_line_a_hit_whatever_it_is_called(
    memaudit_command, hostile, members, tmp_path
):
    index = tmp_path / "index"
    built = memaudit_command("index", "build", hostile, "--out", index, "--embedder", "pixels")
    assert built.code == 0, built.err
    found = memaudit_command("index", "search", index, members / "000.png", "-k", 50)
    assert found.code == 0
    assert plain(found.out)
    ranks = [int(line.split()[0]) for line in found.out.splitlines()]
    assert ranks == list(range(1, len(ranks) + 1))


def test_a_refusal_is_one_line_whatever_it_names(memaudit_command, tmp_path):
    folder = tmp_path / "only"
    folder.mkdir()
    (folder / "\x1b[31mx\nmemaudit: Verdict: none.png").write_bytes(b"no image")
    run = memaudit_command(
        "index", "build", folder, "--out", tmp_path / "i", "--embedder", "pixels"
    )
    assert run.code == 2
    assert run.err.count("\n") == 1
    assert plain(run.err)
    for words in (
        ("scan", "a", "b", "--\x1b[31m"),
        ("scan", "a", "b", "--out", "x", "--q", "\x1b[2J"),
    ):
        run = memaudit_command(*words)
        assert run.code == 2
        assert plain(run.err)


@pytest.mark.parametrize("what", ["model", "data", "out"])
def test_paths_whose_bytes_are_no_text_can_be_given(
    memaudit_command, members, controls, tmp_path, what
):
    odd = f"{tmp_path}/{what}-\udcff\x1b[31m"
    data = shutil.copytree(members, odd) if what == "data" else members
    out = odd if what == "out" else tmp_path / "run"
    source = shutil.copytree(members, odd) if what == "model" else members
    words = ("--embedder", "pixels", "--levels", 1, "--draws", 1, "--steps", 1, "--no-power")
    model = f"closed-form:{source}"
    run = memaudit_command("scan", model, data, "--controls", controls, "--out", out, *words)
    assert run.code in (0, 4), run.err
    assert plain(run.out + run.err)
    again = memaudit_command("calibrate", out, "--q", 0.1)
    assert again.code in (0, 4), again.err


def test_nothing_but_the_terminal_room_prints():
    rooms = sorted(Path(app.__file__).parent.glob("*.py"))
    printing = [one.name for one in rooms if "click.echo" in one.read_text(encoding="utf-8")]
    assert printing == ["terminal.py"]


def test_what_libtiff_writes_is_one_remark_for_all_images(memaudit_command, members, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    for k in range(3):
        path = members / f"broken-{k}.tif"
        PillowImage.fromarray(pixels).save(path, compression="tiff_deflate")
        content = bytearray(path.read_bytes())
        content[500] ^= 255
        path.write_bytes(content)
    to = ("--out", tmp_path / "index", "--embedder", "pixels")
    run = memaudit_command("index", "build", members, *to)
    assert run.code == 0
    assert "6 read, 3 failed" in run.out
    assert run.err.startswith("memaudit: libtiff says of broken-0.tif: ")
    assert run.err.count("\n") == 1

"""Bad images end in rows of errors.csv, bad data sets in a message and exit code 2."""

import csv
import io
import os
import struct
import tarfile
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image as PillowImage
from skimage import data as photographs

from memaudit.records import Image


def errors(run: Path) -> dict[str, str]:
    with (run / "errors.csv").open(newline="") as file:
        return {row["source"]: row["error"] for row in csv.DictReader(file)}


def sources(run: Path) -> list[str]:
    with (run / "findings.csv").open(newline="") as file:
        return [row["source"] for row in csv.DictReader(file)]


def encoded(image: Image, kind: str = "JPEG") -> bytes:
    file = io.BytesIO()
    PillowImage.fromarray(image).save(file, kind)
    return file.getvalue()


def png_chunk(name: bytes, content: bytes) -> bytes:
    size, check = len(content), zlib.crc32(name + content)
    return struct.pack(">I", size) + name + content + struct.pack(">I", check)


def bomb() -> bytes:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            png_chunk(b"IHDR", header),
            png_chunk(b"IDAT", zlib.compress(b"\0")),
            png_chunk(b"IEND", b""),
        ]
    )


@pytest.fixture
def photograph() -> Image:
    return photographs.rocket()[100:148, 300:348]


def test_bad_images_become_rows_and_the_scan_goes_on(scan, members, controls, tmp_path, photograph):
    whole = encoded(photograph)
    (members / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (members / "empty.png").write_bytes(b"")
    (members / "text.png").write_bytes(b"no image at all")
    (members / "bomb.png").write_bytes(bomb())
    (members / "lost.png").symlink_to(tmp_path / "nowhere")
    (members / "itself.png").symlink_to(members / "itself.png")
    run = scan(members, "--controls", controls)
    assert run.code == 4
    assert "6 of 12 members could not be read" in run.out
    found = errors(tmp_path / "run")
    assert "damaged" in found["truncated.jpg"]
    assert "0 bytes" in found["empty.png"]
    assert "15 bytes of no kind that is known" in found["text.png"]
    assert "3600000000 pixels" in found["bomb.png"]
    assert "broken link" in found["lost.png"]
    assert "symbolic links" in found["itself.png"]
    assert len(found) == 6
    assert len(sources(tmp_path / "run")) == 6 + 44
    assert not any(source in error for source, error in found.items())


def test_one_bad_image_among_many_leaves_the_verdict_alone(scan, members, controls, tmp_path):
    (members / "bad.png").write_bytes(b"")
    run = scan(members, "--controls", controls)
    assert run.code == 0
    assert "1 unreadable" in run.out
    assert list(errors(tmp_path / "run")) == ["bad.png"]


def test_unusual_but_whole_images_are_scanned(scan, members, controls, tmp_path, photograph):
    deep = photograph[..., 0].astype(np.uint16) * 257
    PillowImage.fromarray(deep).save(members / "16-bit.png")
    picture = PillowImage.fromarray(photograph)
    picture.convert("P").save(members / "palette.png")
    picture.rotate(90).convert("CMYK").save(members / "cmyk.jpg")
    run = scan(members, "--controls", controls)
    assert run.code == 0
    assert {"16-bit.png", "palette.png", "cmyk.jpg"} <= set(sources(tmp_path / "run"))
    assert errors(tmp_path / "run") == {}


def test_links_in_a_circle_end(scan, members, controls, tmp_path):
    (members / "again").symlink_to(members)
    assert scan(members, "--controls", controls).code == 0
    assert len(sources(tmp_path / "run")) == 6 + 44


def test_names_that_are_not_utf8_are_scanned(scan, members, controls, tmp_path, photograph):
    name = os.fsencode(members) + b"/\xff\xfe.png"
    try:
        Path(os.fsdecode(name)).write_bytes(encoded(photograph))
    except OSError:
        pytest.skip("this file system takes only names in UTF-8")
    assert scan(members, "--controls", controls).code == 0
    assert r"\xff\xfe.png" in sources(tmp_path / "run")


def test_names_and_captions_are_escaped_in_csv_and_raw_in_parquet(
    scan, members, controls, tmp_path, photograph
):
    names = ["=1+2.png", "+a.png", "-b.png", "@c.png"]
    for k, name in enumerate(names):
        (members / name).write_bytes(encoded(np.roll(photograph, 9 * k, axis=1), "PNG"))
    (members / "=bad.png").write_bytes(b"")
    captions = [f"{name},=cmd()" for name in names]
    (members / "metadata.csv").write_text("\n".join(["file_name,text", *captions]) + "\n")
    assert scan(members, "--controls", controls).code == 0
    run = tmp_path / "run"
    assert {f"'{name}" for name in names} <= set(sources(run))
    assert list(errors(run)) == ["'=bad.png"]
    raw = pd.read_parquet(run / "findings.parquet")
    assert set(names) <= set(raw["source"])
    assert (raw.loc[raw["source"].isin(names), "prompt"] == "=cmd()").all()
    text = pd.read_csv(run / "findings.csv", dtype=str, keep_default_na=False)
    assert not any(
        value.startswith(("=", "+", "@", "\t", "\r")) for column in text for value in text[column]
    )
    assert (text.loc[text["source"].str.startswith("'"), "prompt"] == "'=cmd()").all()


def test_the_whole_members_of_a_truncated_tar_are_scanned(scan, members, controls, tmp_path):
    whole = tmp_path / "whole.tar"
    with tarfile.open(whole, "w") as archive:
        for path in sorted(members.iterdir()):
            archive.add(path, path.name)
    (tmp_path / "shard.tar").write_bytes(whole.read_bytes()[: 512 * 5 + 100])
    run = scan(tmp_path / "shard.tar", "--controls", controls)
    assert run.code in (0, 4)
    found = errors(tmp_path / "run")
    assert "members from there on are lost" in found["shard.tar"]
    assert len(sources(tmp_path / "run")) > 44


def test_what_may_not_be_read_or_written_is_named(
    memaudit_command, tiles, tmp_path, open_directory, as_nobody, monkeypatch
):
    for name in ("images", "images/closed", "mine"):
        (open_directory / name).mkdir()
    for k, tile in enumerate(tiles[:4]):
        PillowImage.fromarray(tile).save(open_directory / "images" / f"{k}.png")
    (open_directory / "images" / "0.png").chmod(0)
    (open_directory / "images" / "closed").chmod(0)
    (open_directory / "mine").chmod(0o555)
    data = open_directory / "images"
    words = ("scan", f"closed-form:{data}", data, "--embedder", "pixels", "--levels", 1, "--out")
    assert memaudit_command(*words, open_directory / "as-root").code == 4
    as_nobody()
    run = memaudit_command(*words, open_directory / "run")
    assert run.code == 2
    assert f"{tmp_path}" in run.err
    assert "is kept, cannot be written: Permission denied; name a folder of your own" in run.err
    monkeypatch.setenv("MEMAUDIT_CACHE", str(open_directory / "cache"))
    run = memaudit_command(*words, open_directory / "run")
    assert run.code == 4
    found = errors(open_directory / "run")
    assert "Permission denied" in found["0.png"]
    assert "Permission denied" in found["closed"]
    assert len(sources(open_directory / "run")) == 3
    run = memaudit_command(*words, open_directory / "mine" / "run")
    assert run.code == 2
    assert "cannot be written: Permission denied; give a directory of your own" in run.err
    run = memaudit_command("scan", f"closed-form:{data}", data / "closed", "--out", data / "x")
    assert run.code == 2
    assert "Permission denied" in run.err


def test_data_sets_without_images_are_refused(scan, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    run = scan(empty)
    assert (run.code, run.out) == (2, "")
    assert f"{empty} holds no image" in run.err
    assert "Expected a folder of images" in run.err
    (empty / "notes.txt").write_text("no image")
    assert "holds no image" in scan(empty).err
    assert "neither Parquet, Arrow nor tar" in scan(empty / "notes.txt").err
    run = scan(tmp_path / "nowhere")
    assert run.code == 2
    assert "No such file or directory" in run.err


def test_parquet_without_an_image_column_is_refused_by_its_columns(scan, tmp_path):
    table = tmp_path / "table.parquet"
    pd.DataFrame({"label": [1, 2]}).to_parquet(table)
    run = scan(table)
    assert run.code == 2
    assert "label (int64)" in run.err
    assert "--image-column" in run.err
    table.write_bytes(b"PAR1 and nothing else")
    run = scan(table)
    assert run.code == 2
    assert "Check that they were copied whole" in run.err


def test_a_data_set_of_bad_images_only_is_refused(scan, memaudit_command, members, tmp_path):
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "a.png").write_bytes(b"no image")
    run = scan(bad)
    assert run.code == 2
    assert "none of the 1 images can be read" in run.err
    run = memaudit_command("scan", f"closed-form:{bad}", members, "--out", tmp_path / "run")
    assert run.code == 2
    assert "none of the 1 images" in run.err


def test_bad_controls_only_are_no_controls(scan, members, tmp_path):
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "a.png").write_bytes(b"no image")
    run = scan(members, "--controls", bad)
    assert run.code == 4
    assert "no controls" in run.out

"""Setting controls aside before a training."""

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image as PillowImage

from memaudit.data import open_source

PIXELS = ("--embedder", "pixels")
RECORD = "memaudit-split.json"


@pytest.fixture
def data(write_folder, tiles):
    """50 different images, with captions and a cluster for every two."""
    folder = write_folder("data", tiles[:50])
    rows = [f"{k:03d}.png,tile {k},photograph {k // 2}" for k in range(50)]
    (folder / "metadata.csv").write_text("\n".join(["file_name,text,photograph", *rows]))
    return folder


@pytest.fixture
def split(memaudit_command, tmp_path):
    """Split a data set: `split(dataset, *options)`, into members and controls of the test."""

    def run(dataset, *options, into="sides"):
        places = ("--members", tmp_path / into / "members", "--controls", tmp_path / into / "held")
        share = () if {"--share", "--count"} & set(options) else ("--share", ".2")
        return memaudit_command("split", dataset, *places, *PIXELS, *share, *options)

    return run


def sources(folder):
    return {entry.source for entry in open_source(folder).entries()}


def clusters(folder, column="photograph"):
    return {entry.cluster for entry in open_source(folder, cluster_column=column).entries()}


def held(tmp_path, into="sides"):
    return tmp_path / into / "held"


def kept(tmp_path, into="sides"):
    return tmp_path / into / "members"


def near_copy(image):
    """The same image, one pixel a little brighter."""
    copy = image.copy()
    copy[0, 0, 0] = min(255, int(copy[0, 0, 0]) + 3)
    return copy


def test_a_folder_is_split_whole_with_its_captions(split, data, tmp_path):
    run = split(data)
    assert run.code == 0
    assert "controls        10 images, 10 if near copies count once" in run.out
    assert "10 of 50 groups of near copies at random" in run.out
    assert f"memaudit scan MODEL {kept(tmp_path)} --controls {held(tmp_path)} --out RUN" in run.out
    assert not sources(kept(tmp_path)) & sources(held(tmp_path))
    assert sources(kept(tmp_path)) | sources(held(tmp_path)) == sources(data)
    for side in (kept(tmp_path), held(tmp_path)):
        for entry in open_source(side).entries():
            assert entry.prompt == f"tile {int(entry.source[:3])}"
            assert (side / entry.source).read_bytes() == (data / entry.source).read_bytes()


def test_clusters_stay_together_and_are_what_the_share_counts(split, data, tmp_path):
    run = split(data, "--cluster-column", "photograph")
    assert run.code == 0
    assert "5 of 25 clusters at random; the largest has 2 images" in run.out
    assert "--cluster-column photograph" in run.out
    assert len(clusters(held(tmp_path))) == 5
    assert not clusters(held(tmp_path)) & clusters(kept(tmp_path))
    assert len(sources(held(tmp_path))) == 10


def test_folders_can_be_the_clusters(split, tiles, write_folder, tmp_path):
    for k in range(8):
        write_folder(f"data/p{k}", tiles[3 * k : 3 * k + 3])
    assert split(tmp_path / "data", "--cluster-column", "folder", "--count", "2").code == 0
    assert len(sources(held(tmp_path))) == 6
    assert len({name.partition("/")[0] for name in sources(held(tmp_path))}) == 2
    (tmp_path / "data/top.png").write_bytes((tmp_path / "data/p0/000.png").read_bytes())
    run = split(tmp_path / "data", "--cluster-column", "folder", into="again")
    assert run.code == 2
    assert "lie in no folder of their own (the first: top.png)" in run.err


def test_near_copies_stay_together_and_join_the_clusters_that_share_them(
    split, tiles, write_folder, tmp_path
):
    images = [one for tile in tiles[:20] for one in (tile, near_copy(tile))]
    data = write_folder("data", images)
    # the copies of image k are told to be of clusters k and k + 1: pairs of clusters are joined
    rows = [f"{k:03d}.png,{k // 2 + k % 2 * (k // 2 % 2 == 0)}" for k in range(40)]
    (data / "metadata.csv").write_text("\n".join(["file_name,who", *rows]))
    for options in ((), ("--cluster-column", "who")):
        into = f"sides-{len(options)}"
        run = split(data, *options, into=into)
        assert run.code == 0
        names = {int(name[:3]) for name in sources(held(tmp_path, into))}
        assert {k ^ 1 for k in names} == names
    assert "8 images, 4 if near copies count once" in split(data, into="sides-0").out
    assert "2 of 10 clusters (joined where they share near copies: 20) at random" in run.out
    assert {k // 4 for k in names} == {k // 4 for k in range(40) if k in names}
    assert len(names) == 8


def test_copies_are_parted_only_if_the_threshold_says_that_they_are_none(
    split, tiles, write_folder
):
    data = write_folder("data", [one for tile in tiles[:20] for one in (tile, near_copy(tile))])
    run = split(data, "--duplicate-threshold", "1.1")
    assert "of 40 groups of near copies" in run.out


def test_the_draw_is_decided_by_the_seed_and_not_by_names_or_order(split, data, tmp_path):
    split(data)
    split(data, into="again")
    assert sources(held(tmp_path)) == sources(held(tmp_path, "again"))
    split(data, "--seed", "1", into="other")
    assert sources(held(tmp_path)) != sources(held(tmp_path, "other"))
    turned = tmp_path / "turned"
    turned.mkdir()
    for path in data.glob("*.png"):
        (turned / f"{999 - int(path.stem):03d}.png").write_bytes(path.read_bytes())
    split(turned, into="turned-sides")
    expected = {f"{999 - int(name[:3]):03d}.png" for name in sources(held(tmp_path))}
    assert sources(held(tmp_path, "turned-sides")) == expected


def test_images_that_cannot_be_read_are_named_and_on_neither_side(split, data, tmp_path):
    for k in range(5):
        (data / f"bad-{k}.png").write_bytes(b"no image")
    run = split(data)
    assert run.code == 0
    assert "left out        5 images that cannot be read" in run.out
    assert "bad-0.png is on neither side: 8 bytes of no kind that is known" in run.err
    assert f"{RECORD} in either directory names all 5" in run.err
    for side in (kept(tmp_path), held(tmp_path)):
        assert not any(name.startswith("bad") for name in sources(side))
        unread = json.loads((side / RECORD).read_text())["unreadable"]
        assert [one["source"] for one in unread] == [f"bad-{k}.png" for k in range(5)]


def test_json_says_the_same(split, data, tmp_path):
    said = json.loads(split(data, "--json", "--cluster-column", "photograph").out)
    assert said["controls"] == {
        "path": str(held(tmp_path)),
        "images": 10,
        "groups": 10,
        "clusters": 5,
        "units": 5,
        "largest": 2,
    }
    assert said["unreadable"] == []


def test_fewer_controls_than_a_verdict_takes_are_remarked(split, data, write_folder, tiles):
    assert "a verdict takes at least 79 controls" in split(data).err
    more = write_folder("more", [*tiles, *(np.flipud(tile) for tile in tiles)])
    assert "verdict" not in split(more, "--count", "79", into="many").err


def rows_of(folder):
    files = sorted(folder.glob("*.png"))
    return [{"bytes": path.read_bytes(), "path": path.name} for path in files]


def write_parquet(folder, target):
    cells = rows_of(folder)
    who = [k // 2 for k in range(len(cells))]
    pq.write_table(pa.table({"image": cells, "who": who}), target / "a.parquet", row_group_size=7)


def write_archive(folder, target):
    with tarfile.open(target / "a.tar", "w") as archive:
        for k, cell in enumerate(rows_of(folder)):
            members = {"png": cell["bytes"], "json": json.dumps({"who": k // 2}).encode()}
            for extension, content in members.items():
                info = tarfile.TarInfo(f"{k:03d}.{extension}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))


@pytest.mark.parametrize("write", [write_parquet, write_archive])
def test_rows_and_samples_are_split_as_files_are(split, data, tmp_path, write):
    packed = tmp_path / "packed"
    packed.mkdir()
    write(data, packed)
    options = ("--cluster-column", "who", "--count", "5")
    assert split(packed, *options).code == 0
    assert not clusters(held(tmp_path), "who") & clusters(kept(tmp_path), "who")
    assert split(data, "--cluster-column", "photograph", "--count", "5", into="files").code == 0
    expected = {name.partition(".")[0] for name in sources(held(tmp_path, "files"))}
    source = open_source(held(tmp_path), cluster_column="who")
    found = {int(entry.cluster) for entry in source.entries()}
    assert found == {int(name) // 2 for name in expected}
    assert len(source.entries()) == 10


def test_images_of_one_sample_stay_together(split, tiles, tmp_path):
    packed = tmp_path / "packed"
    packed.mkdir()
    with tarfile.open(packed / "a.tar", "w") as archive:
        for k, tile in enumerate(tiles[:20]):
            buffer = io.BytesIO()
            PillowImage.fromarray(tile).save(buffer, "PNG")
            info = tarfile.TarInfo(f"{k // 2}.{'png' if k % 2 else 'bmp'}")
            info.size = len(buffer.getvalue())
            archive.addfile(info, io.BytesIO(buffer.getvalue()))
    assert split(packed, "--count", "3").code == 0
    names = [name.rpartition(".")[0] for name in sources(held(tmp_path))]
    assert len(names) == 6
    assert len(set(names)) == 3


def test_a_table_that_names_its_images_is_given_by_its_name(split, data, tmp_path):
    names = [path.name for path in sorted(data.glob("*.png"))]
    pq.write_table(pa.table({"image": names}), data / "index.parquet")
    (data / "metadata.csv").unlink()
    run = split(data / "index.parquet")
    assert run.code == 0
    assert f"--controls {held(tmp_path) / 'index.parquet'}" in run.out
    assert len(sources(held(tmp_path) / "index.parquet")) == 10


def test_what_is_written_can_be_trained_on_and_scanned(split, memaudit_command, data, tmp_path):
    said = json.loads(split(data, "--count", "40", "--json").out)
    members, controls = said["members"]["path"], said["controls"]["path"]
    model = tmp_path / "model"
    quick = ("--steps", "2", "--resolution", "16", "--channels", "8,8", "--device", "cpu")
    assert memaudit_command("train", members, "--out", model, *quick).code == 0
    small = (*PIXELS, "--levels", "1", "--draws", "1", "--steps", "2", "--no-power")
    run = memaudit_command(
        *("scan", f"closed-form:{members}", members, "--controls", controls),
        *("--out", tmp_path / "run", *small),
    )
    assert "10 members, said to be trained on; 40 controls, said not to be" in " ".join(
        run.out.split()
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--share", ".2", "--count", "3"), "--share and --count both"),
        (("--share", "0"), "--share must lie between 0 and 1"),
        (("--share", "1"), "--share"),
        (("--count", "0"), "--count must be 1 or more"),
        (("--count", "50"), "found 50 clusters or groups of near copies"),
        (("--resize", "pad"), "--resize pad is how images are brought to --resolution"),
        (("--cluster-column", "nope"), "no cluster column 'nope'"),
        (("--split", "nope"), "no split 'nope'"),
        (("--embedder", "nope"), "nope"),
    ],
)
def test_options_that_fit_nothing_are_refused(split, data, tmp_path, options, said):
    run = split(data, *options)
    assert (run.code, run.out) == (2, "")
    assert said in run.err
    assert not (tmp_path / "sides").exists()


def test_neither_share_nor_count_is_refused(memaudit_command, data, tmp_path):
    places = ("--members", tmp_path / "m", "--controls", tmp_path / "c")
    run = memaudit_command("split", data, *places)
    assert run.code == 2
    assert "give one of them, for example --share .2" in run.err


@pytest.mark.parametrize(
    ("members", "controls", "said"),
    [
        ("a", "a", "one lies inside the other"),
        ("a", "a/b", "one lies inside the other"),
        ("a/b", "a", "one lies inside the other"),
        ("data/m", "c", "lies inside the data set"),
        ("m", "data", "lies inside the data set"),
    ],
)
def test_places_inside_each_other_are_refused(
    memaudit_command, data, tmp_path, members, controls, said
):
    places = ("--members", tmp_path / members, "--controls", tmp_path / controls)
    run = memaudit_command("split", data, *places, "--share", ".2", *PIXELS)
    assert run.code == 2
    assert said in run.err


def test_what_is_there_is_never_overwritten(split, data, tmp_path):
    held(tmp_path).mkdir(parents=True)
    (held(tmp_path) / "mine.txt").write_text("mine")
    run = split(data)
    assert run.code == 2
    assert f"{held(tmp_path)} holds other things" in run.err
    assert not kept(tmp_path).exists()
    assert [path.name for path in held(tmp_path).iterdir()] == ["mine.txt"]


def test_a_split_of_other_arguments_is_never_overwritten(split, data, tmp_path):
    split(data)
    before = sources(held(tmp_path))
    run = split(data, "--seed", "1")
    assert run.code == 2
    assert "holds the split of other images or other arguments" in run.err
    assert sources(held(tmp_path)) == before


def test_an_empty_directory_and_a_link_to_one_are_filled(split, data, tmp_path):
    (tmp_path / "real").mkdir()
    kept(tmp_path).parent.mkdir()
    kept(tmp_path).symlink_to(tmp_path / "real")
    held(tmp_path).mkdir()
    assert split(data).code == 0
    assert len(sources(tmp_path / "real")) == 40
    assert len(sources(held(tmp_path))) == 10


def test_the_same_command_finds_what_it_wrote_and_writes_what_is_missing(split, data, tmp_path):
    first = split(data)
    members = sources(kept(tmp_path))
    written = (held(tmp_path) / RECORD).stat().st_mtime_ns
    for path in kept(tmp_path).iterdir():
        path.unlink()
    again = split(data)
    assert (again.code, again.out) == (0, first.out)
    assert sources(kept(tmp_path)) == members
    assert (held(tmp_path) / RECORD).stat().st_mtime_ns == written


def test_images_outside_of_a_data_set_are_refused_before_anything_is_written(split, data, tmp_path):
    pq.write_table(pa.table({"image": ["../data/000.png", "../data/001.png"]}), tmp_path / "t.pq")
    (tmp_path / "in").mkdir()
    (tmp_path / "t.pq").rename(tmp_path / "in/t.parquet")
    run = split(tmp_path / "in", "--count", "1")
    assert run.code == 2
    assert "name a file outside the data set" in run.err
    assert not (tmp_path / "sides").exists()
    assert data.is_dir()


KILLED = """
import os, signal, sys
from pathlib import Path
import memaudit.audit.split as splitting
from memaudit.cli import main

replace = Path.replace
def stop(self, target):
    if self.name == sys.argv[1]:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)
Path.replace = stop
main(sys.argv[2:])
"""


@pytest.mark.slow
@pytest.mark.parametrize("moment", [".held.partial", ".members.partial"])
def test_a_kill_leaves_no_half_of_a_side_and_the_same_command_goes_on(
    split, data, tmp_path, moment
):
    places = ("--members", kept(tmp_path), "--controls", held(tmp_path))
    words = ("split", data, *places, *PIXELS, "--share", ".2")
    program = [sys.executable, "-c", KILLED, moment, *map(str, words)]
    ended = subprocess.run(program, env=os.environ, capture_output=True, check=False)
    assert ended.returncode == -9
    assert not kept(tmp_path).exists()
    assert held(tmp_path).exists() == (moment == ".members.partial")
    assert (tmp_path / "sides" / moment).is_dir()
    assert split(data).code == 0
    assert sorted(path.name for path in (tmp_path / "sides").iterdir()) == ["held", "members"]
    assert split(data, into="whole").code == 0
    for side in ("held", "members"):
        assert sources(tmp_path / "sides" / side) == sources(tmp_path / "whole" / side)


def test_options_may_come_from_a_file_and_near_copies_be_looked_for_at_another_size(
    memaudit_command, tiles, write_folder, tmp_path
):
    # upscaled and framed by one pixel: at half the size these are the copies of one another
    twins = [np.pad(tile, ((1, 1), (1, 1), (0, 0)), mode="edge") for tile in tiles[:10]]
    data = write_folder("data", [*tiles[:10], *twins])
    file = Path(tmp_path / "options.toml")
    places = f'members = "{tmp_path}/m"\ncontrols = "{tmp_path}/c"'
    file.write_text(f'[split]\n{places}\nembedder = "pixels"\nresolution = 8\ncount = 2')
    run = memaudit_command("split", data, "--config", file, "--duplicate-threshold", ".9")
    assert run.code == 0
    assert "2 of 10 groups of near copies" in run.out
    assert len(sources(tmp_path / "c")) == 4

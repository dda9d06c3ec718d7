"""What cannot be read or written ends in a message that says what to do, and so does a blank."""

import shutil

import pytest
from diffusers import DDPMScheduler, UNet2DModel


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("model", ("", "images", "--out", "run")),
        ("dataset", ("model", "", "--out", "run")),
        ("dataset", ("model", " ", "--out", "run")),
        ("controls", ("model", "images", "--out", "run", "--controls", "")),
        ("out", ("model", "images", "--out", "")),
        ("index", ("model", "images", "--out", "run", "--index", "")),
        ("reference", ("model", "images", "--out", "run", "--reference", "")),
        ("caption_column", ("model", "images", "--out", "run", "--caption-column", "")),
        ("attacks", ("model", "images", "--out", "run", "--attacks", "")),
    ],
)
def test_a_blank_is_no_path_and_no_name(memaudit_command, name, words):
    refused = memaudit_command("scan", *words)
    assert refused.code == 2
    assert "is blank, expected text" in refused.err
    assert refused.err.startswith(f"memaudit: error: {name} ")


@pytest.mark.parametrize(
    "words",
    [
        *(("gate", ""), ("gate", "run", "--baseline", ""), ("report", "", "--out", "x")),
        *(("report", "run", "--out", ""), ("verify", ""), ("compare", "", "run")),
        *(("calibrate", ""), ("split", "", "--members", "a", "--controls", "b", "--share", ".5")),
        *(("train", "", "--out", "x"), ("index", "build", "", "--out", "x")),
        *(("index", "search", "", "x"), ("index", "search", "x", ""), ("demo", "--out", "")),
    ],
)
def test_every_command_refuses_a_blank(memaudit_command, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    refused = memaudit_command(*words)
    assert refused.code == 2
    assert "is blank, expected text" in refused.err
    assert not list(tmp_path.iterdir())


def test_a_cache_that_cannot_be_written_says_where_else_it_may_be(
    scan, members, tmp_path, monkeypatch
):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("MEMAUDIT_CACHE", str(tmp_path / "file" / "cache"))
    refused = scan(members)
    assert refused.code == 2
    assert "where the index of the images is kept" in refused.err
    assert "--index" in refused.err
    assert "MEMAUDIT_CACHE" in refused.err
    shutil.rmtree(tmp_path / "run")
    assert scan(members, "--index", tmp_path / "file").code == 2


@pytest.fixture
def scan_as_nobody(memaudit_command, members, open_directory, as_nobody, monkeypatch):
    """Scan a model, close a file or folder of it, and scan it again as another user."""

    def scan(folder, closed):
        UNet2DModel(
            sample_size=16,
            block_out_channels=(8, 16),
            norm_num_groups=4,
            layers_per_block=1,
            down_block_types=("DownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "UpBlock2D"),
        ).save_pretrained(folder)
        DDPMScheduler().save_config(folder)
        images = shutil.copytree(members, open_directory / "images")
        monkeypatch.setenv("MEMAUDIT_CACHE", str(open_directory / "cache"))
        quick = ("--embedder", "pixels", "--levels", 1, "--draws", 1, "--no-self-check", "--out")
        words = ("scan", folder, images, *quick)
        assert memaudit_command(*words, open_directory / "open").code == 4
        closed.chmod(0)
        as_nobody()
        return memaudit_command(*words, open_directory / "run")

    return scan


@pytest.mark.parametrize(
    ("closed", "said"),
    [
        ("diffusion_pytorch_model.safetensors", "model.safetensors: cannot be read: Permission"),
        ("config.json", "config.json cannot be read as JSON: cannot be read: Permission denied"),
        (".", "model_index.json: Permission denied"),
    ],
)
def test_a_model_that_may_not_be_read_says_so(scan_as_nobody, open_directory, closed, said):
    refused = scan_as_nobody(open_directory / "model", open_directory / "model" / closed)
    assert refused.code == 2
    assert said in refused.err
    assert "check" in refused.err
    assert "permissions" in refused.err


@pytest.mark.parametrize(
    "words",
    [
        ("gate", "run", "--junit", "run/scan.json"),
        ("gate", "run", "--sarif", "run/new.sarif"),
        ("gate", "run", "--baseline", "run/../other", "--gitlab", "other/findings.csv"),
        ("gate", "run", "--baseline", "other/scan.json", "--junit", "other/scan.json"),
        ("report", "run", "other", "--out", "other/report"),
        ("compare", "run", "other", "--out", "run/comparison"),
    ],
)
def test_nothing_is_written_into_a_finished_run(memaudit_command, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    for name in ("run", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "scan.json").write_text("{}")
    refused = memaudit_command(*words)
    assert refused.code == 2
    assert "lies inside the run" in refused.err
    assert [path.name for path in tmp_path.rglob("*.*")] == ["scan.json", "scan.json"]


def test_a_training_is_not_written_into_a_run(memaudit_command, scan, members, tmp_path):
    assert scan(members).code == 4
    refused = memaudit_command("train", members, "--out", tmp_path / "run", "--steps", 1)
    assert refused.code == 2
    assert "holds the run of a scan, not a training" in refused.err
    assert memaudit_command("verify", tmp_path / "run").code == 0


def test_a_split_of_controls_needs_their_data_set(scan, members):
    refused = scan(members, "--controls-split", "test")
    assert refused.code == 2
    assert "--controls-split test is a split of the controls, and none are given" in refused.err


@pytest.mark.parametrize("side", [8193, 10**12])
def test_images_have_a_largest_side(scan, members, side):
    assert f"--resolution must lie between 1 and 8192, found {side}" in (
        scan(members, "--resolution", side).err
    )

"""index, plan, doctor and train, on small images."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image as PillowImage

from memaudit.doctor import PACKAGES


def build(memaudit_command, data, out, *options):
    words = ("index", "build", data, "--out", out, "--embedder", "pixels")
    return memaudit_command(*words, *options)


def test_an_image_finds_itself_in_an_index(memaudit_command, members, tmp_path):
    index = tmp_path / "index"
    run = build(memaudit_command, members, index)
    assert run.code == 0
    assert "6 different images of 6 read, 0 failed, 0 with a caption" in run.out
    run = memaudit_command("index", "search", index, members / "003.png", "-k", 2, "--json")
    hits = json.loads(run.out)
    assert (run.code, len(hits)) == (0, 2)
    assert (hits[0]["source"], hits[0]["split"]) == ("003.png", "member")
    assert hits[0]["similarity"] > 0.9999 > hits[1]["similarity"]
    run = memaudit_command("index", "search", index, members / "003.png", "-k", 100)
    assert len(run.out.splitlines()) == 6
    assert run.out.split()[:4] == ["1", "1.00000", "member", "003.png"]


def test_a_scan_takes_the_index_that_was_built_for_it(
    scan, memaudit_command, members, controls, tmp_path
):
    index = tmp_path / "index"
    shape = ("--controls", controls, "--resolution", 16)
    assert build(memaudit_command, members, index, *shape).code == 0
    run = scan(members, "--controls", controls, "--index", index, "--json")
    assert json.loads(run.out)["prepared"]["data"]["index_reused"] is True


def test_an_index_of_other_images_is_refused(scan, memaudit_command, members, controls, tmp_path):
    index = tmp_path / "index"
    assert build(memaudit_command, members, index).code == 0
    run = build(memaudit_command, controls, index)
    assert run.code == 2
    assert "cannot be used: fingerprint is" in run.err
    assert "Build it again" in run.err
    run = scan(members, "--index", index)
    assert run.code == 2
    assert "resolution is 'own size', expected '16x16'" in run.err


def test_what_cannot_be_looked_up_is_refused(memaudit_command, members, tmp_path):
    index, text = tmp_path / "index", tmp_path / "text.png"
    text.write_text("no image")
    run = memaudit_command("index", "search", index, members / "000.png")
    assert run.code == 2
    assert "Build it again" in run.err
    assert build(memaudit_command, members, index).code == 0
    for image in (text, members, tmp_path / "nowhere.png"):
        run = memaudit_command("index", "search", index, image)
        assert run.code == 2
        assert f"{image} cannot be read as an image" in run.err
    assert memaudit_command("index", "search", index, text, "-k", 0).code == 2


def test_an_index_cannot_be_built_into_a_file(memaudit_command, members, tmp_path):
    file = tmp_path / "file"
    file.write_text("keep me")
    run = build(memaudit_command, members, file)
    assert run.code == 2
    assert str(file) in run.err
    assert file.read_text() == "keep me"


def test_a_plan_counts_what_a_scan_would_do(memaudit_command, members, controls, tmp_path):
    model = (f"closed-form:{members}", members, "--controls", controls, "--embedder", "pixels")
    options = ("--levels", 3, "--draws", 2, "--steps", 4, "--reconstruct", "ode,one-step")
    run = memaudit_command("plan", *model, *options, "--json")
    assert run.code == 0
    plan = json.loads(run.out)
    assert (plan["members"], plan["controls"], plan["levels"]) == (6, 44, 3)
    assert plan["queries"] == 50 * 3 * 2
    assert plan["evaluations"] == plan["queries"] * (4 + 1) + 50 * 2 * 2 * 3  # upside down twice
    assert plan["prospect"]["controls_for"]["1"] == 2 * 6 / 0.05 - 1  # claims share the level
    assert plan["prospect"]["controls_for"]["2"] == 2 * 6 / 0.1 - 1
    alone = json.loads(
        memaudit_command("plan", *model, *options, "--attacks", "none", "--json").out
    )
    assert alone["evaluations"] == plan["queries"] * (4 + 1)
    assert alone["prospect"]["controls_for"]["1"] == 6 / 0.05 - 1
    run = memaudit_command("plan", *model, *options)
    assert run.code == 0
    assert "300 corrupted images, 3 levels (up to 5 if images turn out to be repeated" in run.out
    assert not (tmp_path / "run").exists()


@pytest.fixture
def plan(memaudit_command, write_folder, tiles):
    """Plan a scan for reproduction, of 20 members and, unless left out, 60 controls."""
    members, held_out = write_folder("twenty", tiles[:20]), write_folder("sixty", tiles[20:])

    def run(*options, controls=True):
        data = (f"closed-form:{members}", members, "--embedder", "pixels", "--attacks", "none")
        return memaudit_command(
            "plan", *data, *options, *(("--controls", held_out) if controls else ())
        )

    return run


@pytest.mark.parametrize(
    ("q", "smallest", "controls"),
    [
        (0.05, 7, {"1": 399, "2": 199, "5": 79, "10": 39}),  # 20 / (.05 x 61) = 6.6; 20 / .05 - 1
        (0.1, 4, {"1": 199, "2": 99, "5": 39, "10": 39}),  # 20 / (.1 x 61) = 3.3; at least 39
    ],
)
@pytest.mark.parametrize("extent", [(), ("--adaptive", "--fraction", "0.15")])
def test_a_plan_says_what_can_be_flagged_and_what_fewer_would_take(
    plan, q, smallest, controls, extent
):
    found = json.loads(plan("--q", q, *extent, "--json").out)
    assert (found["members"], found["controls"]) == (20, 60)
    assert found["prospect"]["smallest_count"] == smallest
    assert found["prospect"]["controls_for"] == controls
    said = plan("--q", q, *extent).out
    assert f"{smallest} memorized images or more can be flagged one by one, not fewer" in said
    assert ", ".join(f"{k}: {number} controls" for k, number in controls.items()) in said


def test_a_plan_without_controls_can_flag_nothing(plan):
    found = json.loads(plan("--json", controls=False).out)["prospect"]
    assert found["smallest_count"] is None
    assert found["finds"] is None
    said = plan(controls=False).out
    assert "no single image can be flagged" in said
    assert "of 20 members, memorized" not in said


def test_a_plan_says_how_few_are_found_and_what_a_verdict_takes(plan):
    found = json.loads(plan("--json").out)["prospect"]
    assert found["finds"] <= found["tolerated"] == 5  # 20 members, 60 controls
    assert "a verdict that nothing stands out takes" not in plan().out
    found = json.loads(plan("--tolerated-count", 1, "--json").out)["prospect"]
    assert found["finds"] > found["tolerated"] == 1
    enough = found["controls_for_verdict"]
    assert 60 < enough <= 800  # a single one of 20 at q .025 takes 799
    said = plan("--tolerated-count", 1).out
    assert (
        f"{found['finds']} or more of 20 members, memorized perfectly, would be evidence in 4"
        in said
    )
    assert f"takes a scan that finds 1: give about {enough} controls" in said


def test_a_plan_of_an_adaptive_scan_counts_first_pass_and_fraction(plan):
    noise = ("--levels", 2, "--draws", 8, "--steps", 10)
    adaptive = ("--adaptive", "--fraction", 0.15)
    found = json.loads(plan(*noise, *adaptive, "--json").out)
    assert found["in_full"] == 80 * 2 * 8 * 10
    assert found["queries"] == (12 + 3) * 8  # one of two levels, and three at random
    assert found["evaluations"] == 80 * 3 + 15 * 8 * 3  # three steps; of all, one draw
    said = plan(*noise, *adaptive).out
    assert f"{found['evaluations']} evaluations" in said
    assert "; 12800 in full" in said


def test_a_plan_of_two_claims_counts_the_first_pass_of_membership(plan):
    noise = ("--levels", 5, "--draws", 4, "--steps", 10, "--attacks", "mirrored-residual")
    found = json.loads(plan(*noise, "--adaptive", "--fraction", 0.15, "--json").out)
    assert found["in_full"] == 80 * (5 * 4 * 10 + 2 * 2 * 3)
    assert found["evaluations"] == 80 * (3 + 1) + 15 * (3 * 4 * 3 + 2 * 2 * 3)


@pytest.mark.parametrize("extent", [(), ("--adaptive", "--fraction", 0.99, "--steps", 1)])
def test_a_plan_of_a_scan_in_full_counts_every_image(plan, extent):
    noise = ("--levels", 2, "--draws", 1, "--steps", 10)
    found = json.loads(plan(*noise, *extent, "--json").out)
    steps = 1 if extent else 10
    assert found["evaluations"] == found["in_full"] == 80 * 2 * steps
    assert "in full" not in plan(*noise, *extent).out


def test_a_plan_refuses_what_a_scan_would(memaudit_command, members, tmp_path):
    run = memaudit_command("plan", tmp_path / "nowhere", members, "--embedder", "pixels")
    assert run.code == 2
    run = memaudit_command("plan", f"closed-form:{members}", tmp_path / "nowhere")
    assert run.code == 2


def test_doctor_looks_at_what_a_scan_stands_on(memaudit_command):
    run = memaudit_command("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(run.out)}
    assert {*PACKAGES, "faiss", "device", "pixels", "cache"} <= set(checks)
    assert checks["torch"]["ok"]
    assert run.code == (0 if all(check["ok"] for check in checks.values()) else 3)
    assert all(check["ok"] or check["advice"] for check in checks.values())


def test_doctor_advises_people(memaudit_command, monkeypatch, tmp_path):
    monkeypatch.setenv("MEMAUDIT_CACHE", str(tmp_path / "cache"))
    run = memaudit_command("doctor")
    assert f"{tmp_path / 'cache'}: 0 MB of indexes" in run.out
    assert all(line.startswith(("ok", "FAIL", " " * 20)) for line in run.out.splitlines())


def test_training_ends_in_a_model_folder(memaudit_command, members, tmp_path):
    shape = ("--resolution", 16, "--channels", "8,16", "--steps", 2)
    run = memaudit_command("train", members, "--out", tmp_path / "model", *shape)
    assert run.code == 0
    assert f"scan it with: memaudit scan {tmp_path / 'model'}" in run.out
    assert "2 steps, 6 images; scan" in run.out
    run = memaudit_command("train", members, "--out", tmp_path / "model", *shape, "--seed", 1)
    assert run.code == 2
    assert "the training of other arguments" in run.err


def test_images_that_a_training_could_not_read_are_told(memaudit_command, members, tmp_path):
    shutil.copytree(members, tmp_path / "images")
    (tmp_path / "images" / "broken.png").write_bytes(b"no picture")
    shape = ("--resolution", 16, "--channels", "8,16", "--steps", 1)
    run = memaudit_command("train", tmp_path / "images", "--out", tmp_path / "model", *shape)
    assert "1 steps, 6 images; 1 could not be read, see training.json there" in run.out
    told = json.loads((tmp_path / "model" / "training.json").read_text())["unreadable"]
    assert [one["source"] for one in told] == ["broken.png"]


def test_trainings_that_cannot_be_are_refused(memaudit_command, members, tmp_path):
    words = ("train", members, "--out", tmp_path / "model")
    assert "must be 1 or more" in memaudit_command(*words, "--steps", 0).err
    assert "must be a multiple of 4" in memaudit_command(*words, "--resolution", 15).err
    run = memaudit_command("train", tmp_path / "nowhere", "--out", tmp_path / "model")
    assert run.code == 2
    (tmp_path / "file").write_text("keep me")
    small = ("--resolution", 16, "--channels", "8,16", "--steps", 1)
    run = memaudit_command("train", members, "--out", tmp_path / "file", *small)
    assert run.code == 2
    assert "check the path and its permissions" in run.err


def test_many_images_are_scanned_adaptively_unless_full_is_asked_for(memaudit_command, tmp_path):
    rng = np.random.default_rng(0)
    for side, count in (("members", 1000), ("controls", 1000)):
        (tmp_path / side).mkdir()
        for k in range(count):
            pixels = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
            PillowImage.fromarray(pixels).save(tmp_path / side / f"{k:04}.png")
    members = tmp_path / "members"
    few = save_first(members, 12, tmp_path / "few")
    controls = ("--controls", tmp_path / "controls")
    words = ("--embedder", "pixels", "--levels", 1, "--draws", 8, "--json")

    def told(dataset, *more):
        run = memaudit_command("plan", f"closed-form:{few}", dataset, *controls, *words, *more)
        found = json.loads(run.out)
        return found["evaluations"] < found["in_full"]

    assert told(members)
    assert not told(members, "--full")
    assert not told(few)
    assert told(few, "--adaptive")


def save_first(folder, count, out):
    """A folder of the first images of another."""
    out.mkdir()
    for path in sorted(folder.iterdir())[:count]:
        shutil.copy(path, out)
    return out

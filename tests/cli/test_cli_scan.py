"""What a scan ends in: exit codes, outputs, and run directories that are not its own."""

import json
import logging
import os
import subprocess
import sys

import pytest
from PIL import Image as PillowImage

from memaudit.cli.terminal import listening
from memaudit.progress import tell

HOLDER = """
import sys
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_evidence_exits_with_0(scan, members, controls):
    run = scan(members, "--controls", controls)
    assert run.code == 0
    assert (
        "Verdict: evidence of reproduction under this attack at this noise: 6 of 6 images said to "
        "be trained on come back as copies"
    ) in run.out
    assert run.err == (
        "memaudit: model: closed-form, the perfect memorizer of 6 images, sigma 0.001 to 1e+04, "
        "pixels 3x16x16\n"
    )


def test_what_memaudit_tells_is_a_line_on_stderr_and_what_libraries_tell_is_none(capsys):
    library = logging.getLogger("library")
    library.setLevel(logging.INFO)
    with listening():
        library.info("a library is here")
        library.warning("a library is old")
        tell("model: \x1b[31mred")
    tell("nobody listens any more")
    said = capsys.readouterr()
    assert said.err == "memaudit: a library is old\nmemaudit: model: \\x1b[31mred\n"
    assert said.out == ""


def test_no_evidence_exits_with_0(memaudit_command, members, controls, tiles, write_folder):
    others = write_folder("others", tiles[50:58])
    words = ("--out", members.parent / "run", "--embedder", "pixels", "--levels", 1, "--draws", 1)
    data = (f"closed-form:{others}", members, "--controls", controls, "--attacks", "none")
    run = memaudit_command("scan", *data, *words)
    assert run.code == 0
    assert "Verdict: no reconstruction beyond held-out controls" in run.out


def test_nothing_found_without_the_power_check_exits_with_4(scan, controls, tiles, write_folder):
    others = write_folder("others", tiles[50:60])
    run = scan(others, "--controls", controls, "--no-power", "--verbose")
    assert run.code == 4
    assert "inconclusive: nothing stands out, but the power of the scan was not measured" in run.out
    assert "  power           not measured\n" in run.out


def test_noise_that_hides_everything_exits_with_4(scan, controls, tiles, write_folder):
    others = write_folder("others", tiles[50:60])
    run = scan(others, "--controls", controls, "--sigma", 50)
    assert run.code == 4
    assert "inconclusive: no power: of a perfect memorizer's images this scan finds" in run.out


def test_sides_that_differ_without_the_model_exit_with_4(
    memaudit_command, tiles, write_folder, tmp_path
):
    members, controls = write_folder("png", tiles[:20]), tmp_path / "jpeg"
    controls.mkdir()
    for k, tile in enumerate(tiles[20:65]):
        PillowImage.fromarray(tile).save(controls / f"{k}.jpg")
    words = (f"closed-form:{members}", members, "--controls", controls, "--out", tmp_path / "run")
    quick = ("--levels", 1, "--draws", 1, "--steps", 2, "--no-power", "--attacks", "none")
    run = memaudit_command("scan", *words, *quick, "--embedder", "pixels", "--verbose")
    assert run.code == 4
    assert "inconclusive: shift detected" in run.out
    assert "file format (PNG against JPEG, AUC 1.00)" in run.out
    assert (
        "  exchangeable    in the score that their pictures predict, the two sides differ: shift"
        in run.out
    )


def test_an_adaptive_scan_says_what_it_saved(memaudit_command, tiles, write_folder, tmp_path):
    members, controls = write_folder("ten", tiles[:10]), write_folder("seventy", tiles[10:])
    words = (f"closed-form:{members}", members, "--controls", controls, "--out", tmp_path / "run")
    words = (*words, "--attacks", "none", "--embedder", "pixels")
    quick = ("--levels", 2, "--draws", 1, "--steps", 60, "--no-power")
    run = memaudit_command("scan", *words, *quick, "--adaptive", "--fraction", 0.15, "--verbose")
    assert run.code == 0
    effort = json.loads((tmp_path / "run" / "scan.json").read_text())["summary"]["conduct"][
        "effort"
    ]
    assert effort["in_full"] == 80 * 2 * 60 > effort["evaluations"]
    saved = effort["in_full"] / effort["evaluations"]
    assert (
        f"  adaptive        {effort['evaluations']} network evaluations, {saved:.1f} times fewer "
        f"than in full; the model was asked to bring back the {effort['promoted']} images that "
        f"rank highest in a first pass of reconstruction-ode, and {effort['sampled']} at random\n"
    ) in run.out
    run = memaudit_command("scan", *words, *quick)
    assert run.code == 2
    assert "the scan was --adaptive, now --full" in run.err


def test_an_adaptive_scan_of_few_images_says_that_it_is_none(scan, members, controls):
    run = scan(members, "--controls", controls, "--adaptive", "--fraction", 0.99, "--verbose")
    assert run.code == 0
    assert "  not adaptive    a first pass over so few images would save nothing\n" in run.out


def test_json_is_all_that_standard_output_holds(scan, members, controls, tmp_path):
    run = scan(members, "--controls", controls, "--json", "--sigma", "0.5,1e9")
    report = json.loads(run.out)
    assert report["verdict"]["exit_code"] == run.code == 0
    saved = json.loads((tmp_path / "run" / "scan.json").read_text())
    assert saved["summary"] == report["summary"]


def test_no_controls_scans_and_is_inconclusive(scan, members, tmp_path):
    run = scan(members)
    assert run.code == 4
    assert "inconclusive: no controls; give at least 39 images" in run.out
    assert (tmp_path / "run" / "findings.csv").read_text().count("\n") == 1 + 6


def test_too_few_controls_are_inconclusive(scan, members, tiles, write_folder):
    run = scan(members, "--controls", write_folder("few", tiles[6:10]))
    assert run.code == 4
    assert "too few controls" in run.out
    assert "give at least 39" in run.out


def test_controls_that_are_copies_of_members_are_inconclusive(scan, members, tiles, write_folder):
    run = scan(members, "--controls", write_folder("copies", tiles[:6]), "--verbose")
    assert run.code == 4
    assert "  on both sides   duplicate groups: 6, " in run.out
    assert "members and controls are copies of each other" in run.out


@pytest.mark.parametrize("same", ["members", "members/", "members/../members", "link"])
def test_members_and_controls_of_one_path_are_refused(scan, members, tmp_path, same):
    (tmp_path / "link").symlink_to(members)
    run = scan(members, "--controls", f"{tmp_path}/{same}")
    assert run.code == 2
    assert "members and controls are the same data set" in run.err


def test_a_single_image_is_refused(scan, tiles, write_folder):
    run = scan(write_folder("one", tiles[:1]), "--sigma", "1")
    assert run.code == 2
    assert "expected at least two different images" in run.err


def test_levels_outside_the_range_of_the_model_are_named_and_skipped(scan, members, tmp_path):
    run = scan(members, "--sigma", "1,1e9")
    assert run.code == 4
    assert "sigma 1e+09 is outside the model's range: skipped" in run.err
    levels = json.loads((tmp_path / "run" / "scan.json").read_text())["prepared"]["levels"]
    assert (levels["sigmas"], levels["skipped"]) == ([1.0], [1e9])


def test_no_level_in_the_range_of_the_model_is_refused(scan, members):
    run = scan(members, "--sigma", "1e-9,1e9")
    assert run.code == 2
    assert "lies in the model's range 0.001 .. 1e+04; give --sigma" in run.err


def test_timesteps_of_a_model_without_a_schedule_are_refused(scan, members):
    run = scan(members, "--timestep", "5")
    assert run.code == 2
    assert "give --sigma or --snr-db" in run.err


def test_another_question_is_refused_by_what_differs(scan, members, controls, tiles, write_folder):
    assert scan(members, "--controls", controls).code == 0
    run = scan(members, "--controls", controls, "--seed", 3)
    assert run.code == 2
    assert "(--seed was 0, now 3); give another --out, or the same arguments" in run.err
    run = scan(members)
    assert f"--controls was {controls}, now not given" in run.err
    write_folder("members/more", tiles[60:62])
    run = scan(members, "--controls", controls)
    assert run.code == 2
    assert "(the data changed; images was 6, now 8)" in run.err
    assert scan(members, "--controls", controls, "--batch-size", 3).code == 2


def test_a_directory_in_use_is_refused(scan, members, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    command = [sys.executable, "-c", HOLDER, out / ".lock"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        run = scan(members)
        assert run.code == 2
        assert "is in use by another scan; wait for it, or give another --out" in run.err
        holder.kill()
    assert scan(members).code == 4


def test_directories_that_are_no_runs_are_refused(scan, members, tmp_path):
    (tmp_path / "mine").mkdir()
    letter = tmp_path / "mine" / "letter.txt"
    letter.write_text("keep me")
    run = scan(members, "--out", tmp_path / "mine")
    assert run.code == 2
    assert "holds letter.txt but no run of memaudit; give a new or empty" in run.err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]
    run = scan(members, "--out", letter)
    assert run.code == 2
    assert "is a file; give a directory" in run.err
    run = scan(members, "--out", letter / "below")
    assert run.code == 2
    assert "cannot be written: Not a directory" in run.err


def test_a_directory_among_the_images_is_refused(scan, members):
    run = scan(members, "--out", members / "run")
    assert run.code == 2
    assert "inside the data set" in run.err


def test_a_reader_that_went_away_is_no_failed_gate():
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "memaudit", "scan", "--help"]
    with os.fdopen(write) as closed:
        left = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, check=False)
    assert left.returncode == 3
    assert b"Traceback" not in left.stderr


def test_help_imports_no_torch():
    program = (
        "import sys\nfrom memaudit.cli import main\n"
        "try:\n    main([*sys.argv[1:], '--help'])\n"
        "finally:\n    print(sorted({'torch', 'diffusers', 'numpy', 'pandas'} & set(sys.modules)))"
    )
    for words in ([], ["scan"], ["index", "build"]):
        command = [sys.executable, "-c", program, *words]
        left = subprocess.run(command, capture_output=True, text=True, check=True)
        assert left.stdout.endswith("\n[]\n")


def test_without_a_command_the_help_is_shown(memaudit_command):
    run = memaudit_command()
    assert (run.code, run.out) == (2, "")
    assert "Commands:" in run.err
    assert memaudit_command("index").code == 2
    assert memaudit_command("--help").code == 0
    assert memaudit_command("--version").code == 0


def test_a_bug_is_reported_without_a_traceback(memaudit_command, members, tmp_path, monkeypatch):
    """There is no bug to be had at will, so one is put where an index is looked up."""

    def broken(*_):
        raise ValueError("unheard of")

    words = ("index", "search", tmp_path / "index", members / "000.png")
    build = ("index", "build", members, "--out", tmp_path / "index", "--embedder", "pixels")
    assert memaudit_command(*build).code == 0
    monkeypatch.setattr("memaudit.audit.lookup.search_index", broken)
    run = memaudit_command(*words)
    assert run.code == 3
    assert "internal error: ValueError" in run.err
    assert "MEMAUDIT_DEBUG=1" in run.err

"""Options, their values, and the TOML file behind them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from memaudit.cli.app import cli


@pytest.fixture
def toml(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "options.toml"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--levels", "0"),
        ("--levels", "many"),
        ("--draws", "0"),
        ("--steps", "0"),
        ("--sigma", "0"),
        ("--sigma", "-1"),
        ("--sigma", "a,b"),
        ("--sigma", ","),
        ("--sigma", "nan"),
        ("--snr-db", "nan"),
        ("--timestep", "-1"),
        ("--timestep", "1.5"),
        ("--q", "0"),
        ("--q", "1"),
        ("--q", "nan"),
        ("--fraction", "0"),
        ("--fraction", "1"),
        ("--fraction", "nan"),
        ("--sample", "0"),
        ("--images", "-1"),
        ("--generate", "-1"),
        ("--batch-size", "0"),
        ("--shard-size", "0"),
        ("--resolution", "0"),
        ("--resolution", "-1"),
        ("--duplicate-threshold", "-1"),
        ("--seed", "x"),
        ("--resize", "zoom"),
        ("--reconstruct", "guess"),
        ("--reconstruct", ""),
        ("--sampler", "guess"),
        ("--dtype", "int8"),
        ("--device", "tpu"),
        ("--noise", "none"),
    ],
)
def test_bad_values_are_refused_by_the_name_of_their_option(
    memaudit_command, members, tmp_path, option, value
):
    model = (f"closed-form:{members}", members, "--out", tmp_path / "run")
    run = memaudit_command("scan", *model, "--embedder", "pixels", option, value)
    assert (run.code, run.out) == (2, "")
    assert option in run.err
    assert not (tmp_path / "run" / "scan.json").exists()


def test_levels_of_several_kinds_are_refused(scan, members):
    run = scan(members, "--sigma", "1", "--snr-db", "2")
    assert run.code == 2
    assert "not several" in run.err


def test_misspelt_commands_and_options_come_with_a_hint(memaudit_command, scan, members):
    run = memaudit_command("scna")
    assert run.code == 2
    assert "Did you mean 'scan'?" in run.err
    run = scan(members, "--emmbedder", "pixels")
    assert run.code == 2
    assert "Did you mean '--embedder'?" in run.err


def test_what_is_missing_is_named(memaudit_command, members):
    assert "Missing argument 'MODEL'" in memaudit_command("scan").err
    run = memaudit_command("scan", "model", members)
    assert run.code == 2
    assert "Missing option '--out'" in run.err


@pytest.mark.parametrize(
    ("embedder", "code", "said"),
    [
        ("scd", 2, "Choose one of dinov2, open_clip, pixels, sscd, sscd-distilled"),
        ("pixels:3", 2, "takes no argument"),
        ("sscd:/nowhere.onnx", 3, "No SSCD weights at /nowhere.onnx"),
        ("open_clip", 2, "needs a model and its weights"),
        ("open_clip:ViT-B-32/laion2b_s34b_b79k", 3, "Fetch that file on another machine"),
        ("open_clip:ViT-B-32/weights.pt", 2, "is not a .safetensors file"),
        ("dinov2", 2, "needs weights"),
        ("dinov2:facebook/dinov2-base", 3, "pass the folder as dinov2:path/to/folder"),
    ],
)
def test_embedders_that_cannot_be_loaded_say_what_to_do(scan, members, embedder, code, said):
    run = scan(members, "--embedder", embedder)
    assert run.code == code
    assert said in run.err


def test_a_misspelt_key_of_the_file_comes_with_a_hint(scan, members, toml):
    run = scan(members, "--config", toml('[scan]\nembeder = "pixels"\n'))
    assert run.code == 2
    assert "unknown option embeder; did you mean embedder?" in run.err
    run = scan(members, "--config", toml("[scan]\nqqqqq = 1\n"))
    assert run.code == 2
    assert "known are adaptive, alpha, attacks, base-model, batch-size" in run.err
    assert scan(members, "--config", toml('[scan]\nconfig = "more.toml"\n')).code == 2


@pytest.mark.parametrize(
    "line",
    [
        *("q = [0.1]", "q = true", "q = {a = 1}", "q = 2020-01-01", "levels = 1.5"),
        *("levels = true", "levels = []", "no-power = 'yes'", "adaptive = 1", "out = ['a']"),
        *("out = {a = 1}", "controls = 2020-01-01", "sigma = [[1]]", "sigma = [true]"),
        *("steps = 12.0", "reconstruct = ['ode', 1.5, {}]", "embedder = false", "attacks = [[]]"),
    ],
)
def test_a_value_of_another_kind_in_a_file_is_refused(memaudit_command, members, toml, line):
    words = (f"closed-form:{members}", members, "--config", toml(f"[scan]\n{line}\n"))
    run = memaudit_command("scan", *words)
    assert run.code == 2
    assert f"gives {line.split(' ')[0]} " in run.err
    assert ", expected " in run.err


def test_numbers_of_a_file_are_as_on_the_command_line(memaudit_command, members, tmp_path, toml):
    said = toml('[scan]\nsigma = 2\nsteps = "2"\nq = 1e-1\nno-power = true\nsplit = 2024\n')
    (tmp_path / "data" / "2024").mkdir(parents=True)
    for path in members.iterdir():
        shutil.copy(path, tmp_path / "data" / "2024")
    data = tmp_path / "data"
    words = (f"closed-form:{data}", data, "--embedder", "pixels", "--config", said, "--json")
    run = memaudit_command("scan", *words, "--out", tmp_path / "run")
    assert run.code == 4
    asked = json.loads(run.out)["config"]
    assert asked["attack"]["noise"]["sigmas"] == [2.0]
    assert (asked["attack"]["steps"], asked["calibration"]["q"]) == (2, 0.1)
    assert asked["execution"]["power"] is False


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[scna]\nq = 0.1\n", "has no table [scan], found scna"),
        ("scan = 3\n", "has no table [scan], found scan"),
        ("", "found nothing"),
        ("no toml", "cannot be read"),
        ('[scan]\nlevels = "many"\n', "'many' is not a valid integer"),
    ],
)
def test_a_file_that_holds_no_options_is_refused(
    memaudit_command, members, tmp_path, toml, text, said
):
    model = (f"closed-form:{members}", members, "--out", tmp_path / "run")
    run = memaudit_command("scan", *model, "--config", toml(text))
    assert run.code == 2
    assert said in run.err


def test_a_file_that_is_not_there_is_refused(scan, members, tmp_path):
    run = scan(members, "--config", tmp_path / "nowhere.toml")
    assert run.code == 2
    assert "No such file" in run.err
    assert scan(members, "--config", tmp_path).code == 2


def test_the_file_gives_options_and_flags_win(memaudit_command, members, controls, tmp_path, toml):
    options = {
        "out": str(tmp_path / "run"),
        "controls": str(controls),
        "embedder": "nowhere",
        "attacks": ["none"],
        "sigma": [0.5, 1],
        "draws": 3,
        "batch_size": 5,
        "json": True,
    }
    lines = [f"{key} = {json.dumps(value)}" for key, value in options.items()]
    file = toml("\n".join(["[scan]", *lines]) + "\n")
    flags = ("--embedder", "pixels", "--draws", "1", "--steps", "2")
    run = memaudit_command("scan", f"closed-form:{members}", members, "--config", file, *flags)
    assert run.code == 0
    config = json.loads(run.out)["config"]
    assert config["attack"]["noise"]["sigmas"] == [0.5, 1.0]
    assert config["attack"]["noise"]["draws"] == 1
    assert config["attack"]["embedder"] == "pixels"
    assert config["execution"]["batch_size"] == 5


def test_commands_of_a_group_have_tables_of_their_own(memaudit_command, members, tmp_path, toml):
    file = toml('[index.build]\nembedder = "pixels"\n')
    run = memaudit_command("index", "build", members, "--out", tmp_path / "i", "--config", file)
    assert run.code == 0
    file = toml('[build]\nembedder = "pixels"\n')
    run = memaudit_command("index", "build", members, "--out", tmp_path / "i", "--config", file)
    assert run.code == 2
    assert "no table [index.build]" in run.err


def commands(group: click.Group) -> list[click.Command]:
    found: list[click.Command] = []
    for command in group.commands.values():
        found += [command, *(commands(command) if isinstance(command, click.Group) else [])]
    return found


@pytest.mark.parametrize("command", commands(cli), ids=lambda command: command.name)
def test_every_command_and_option_is_documented(command):
    assert command.help
    for option in command.params:
        if isinstance(option, click.Option) and not option.hidden:
            assert option.help, option.name
            assert len(option.help.split()) > 2, option.name
            assert option.help.endswith("."), option.name


def test_an_attack_is_named_by_either_spelling(scan, members):
    for option in ("--attack", "--attacks"):
        refused = scan(members, option, "no-such")
        assert refused.code == 2
        assert "There is no attack 'no-such'" in refused.err

"""What pipelines and containers take from the repository: files parse, and scripts run."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image as PillowImage

from memaudit.cli.app import cli

ROOT = Path(__file__).parents[1]
TEMPLATES = ["action.yml", "docs/pipelines/gitlab.yml", ".pre-commit-hooks.yaml"]
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
BASH = shutil.which("bash")


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def examples():
    return re.findall(r"^```yaml\n(.*?)^```", read("docs/ci.md"), re.DOTALL | re.MULTILINE)


def flags(command):
    return {flag for one in cli.commands[command].params for flag in one.opts}


def steps():
    return {one.get("name"): one for one in yaml.safe_load(read("action.yml"))["runs"]["steps"]}


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_are_yaml_and_their_options_exist(name):
    assert yaml.safe_load(read(name))
    for line in read(name).splitlines():
        for command in re.findall(r"memaudit (scan|gate|report) ", line):
            assert set(FLAG.findall(line)) <= flags(command), line


def test_the_examples_of_the_documentation_are_yaml_and_use_what_is_there():
    github, gitlab, hook = map(yaml.safe_load, examples())
    [used] = [one for one in github["jobs"]["memorization"]["steps"] if "memaudit@" in one["uses"]]
    inputs = yaml.safe_load(read("action.yml"))["inputs"]
    assert set(used["with"]) <= set(inputs)
    assert {name for name, one in inputs.items() if one.get("required")} <= set(used["with"])
    job = yaml.safe_load(read("docs/pipelines/gitlab.yml"))[".memaudit"]
    assert gitlab["memorization"]["extends"] == ".memaudit"
    assert set(gitlab["memorization"]["variables"]) <= set(job["variables"])
    assert set(job["artifacts"]["reports"]) == {"junit", "codequality"}
    [known] = yaml.safe_load(read(".pre-commit-hooks.yaml"))
    assert hook["repos"][0]["hooks"][0]["id"] == known["id"]


def test_no_text_of_others_is_a_part_of_a_script():
    action = yaml.safe_load(read("action.yml"))
    scripts = [one["run"] for one in action["runs"]["steps"] if "run" in one]
    assert len(scripts) == 3
    assert not any("${{" in script for script in scripts)
    given = " ".join(str(one.get("env", "")) + str(one) for one in action["runs"]["steps"])
    assert all(f"inputs.{name} " in given for name in action["inputs"])


def test_the_container_is_slim_has_a_user_without_rights_and_holds_no_model():
    lines = read("Containerfile").splitlines()
    assert [one for one in lines if one.startswith("FROM")] == [
        "FROM docker.io/library/python:3.12-slim"
    ]
    users = [number for number, one in enumerate(lines) if one == "USER memaudit"]
    assert users
    assert all("RUN" not in one for one in lines[users[-1] :])
    copied = [word for one in lines if one.startswith("COPY") for word in one.split()[1:-1]]
    assert copied == ["pyproject.toml", "README.md", "LICENSE", "memaudit"]
    assert all((ROOT / one).exists() for one in copied)


@pytest.mark.slow
@pytest.mark.skipif(BASH is None, reason="the scripts of the action are written for bash")
def test_the_scripts_of_the_action_scan_and_leave_with_the_code_of_the_gate(tiles, tmp_path):
    for name, images in {"members": tiles[:6], "controls": tiles[6:50]}.items():
        (tmp_path / name).mkdir()
        for k, image in enumerate(images):
            PillowImage.fromarray(image).save(tmp_path / name / f"{k:03d}.png")
    (tmp_path / "policy.toml").write_text('[gate]\nevidence = "allow"\n', encoding="utf-8")
    (tmp_path / "memaudit").write_text(f'#!/bin/sh\nexec {sys.executable} -m memaudit "$@"\n')
    (tmp_path / "memaudit").chmod(0o755)
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    known = {
        **os.environ,
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": paths,
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "MODEL": "closed-form:members",
        "DATASET": "members",
        "CONTROLS": "controls",
        "OUT": "run",
        "OPTIONS": "--embedder pixels --levels 1 --draws 1 --steps 2 --attacks none --no-power "
        "--no-report",
        "JUNIT": "gate.xml",
        "BASELINE": "",
        "POLICY": "",
    }

    def run(step, **given):
        script = steps()[step]["run"]
        words = [str(BASH), "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
        done = subprocess.run(
            words, cwd=tmp_path, env={**known, **given}, capture_output=True, text=True, check=False
        )
        return done.returncode

    assert run("Scan") == 0
    assert run("Scan", CONTROLS="nowhere") == 2
    assert run("Gate") == 1
    assert run("Gate", POLICY="policy.toml", BASELINE="run") == 0
    assert run("Gate", OUT="nowhere") == 2
    assert (tmp_path / "output").read_text().split() == [
        "exit-code=1",
        "exit-code=0",
        "exit-code=2",
    ]
    assert (tmp_path / "memaudit-gate.sarif").is_file()
    assert (tmp_path / "gate.xml").is_file()

"""A training that several processes share, and one that is killed."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from memaudit.errors import TrainingDivergedError
from memaudit.records import Image
from memaudit.train.processes import Processes

PROGRAM = Path(__file__).with_name("launching.py")
SMALL = ("--resolution", "8", "--channels", "16,16", "--warmup", "2", "--ema", "0.9", "--flip")
STEPS = ("--steps", "8", "--save-every", "2", "--batch-size", "4", "--device", "cpu")
AMBIENT = ("--loss", "ambient", "--sigma-n", "0.5", "--consistency-weight", "0.5")


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ends(
    tiles: list[Image], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, list[int]]]:
    """The folder of all trainings, and how the processes of each ended."""
    folder = tmp_path_factory.mktemp("trainings")
    (folder / "data").mkdir()
    for k, tile in enumerate(tiles[:10]):
        _save(tile, folder / "data" / f"{k}.png")

    def training(out: str, processes: int, *more: str, **fields: str) -> dict[str, Any]:
        arguments = ["train", str(folder / "data"), "--out", str(folder / out)]
        arguments += [*SMALL, *STEPS, *AMBIENT, *more]
        return {"arguments": arguments, "processes": processes, **fields}

    first = "checkpoints/step-00000002.safetensors"
    trainings = {
        "one": training("one", 1),
        "two": training("two", 2),
        "killed": training("killed", 2, kill_at=str(folder / "killed" / first)),
        "resumed": training("killed", 2),
        "odd": training("odd", 2, "--batch-size", "5"),
        "diverging": training("diverging", 2, "--lr", "1e9", "--warmup", "0", "--save-every", "1"),
    }
    run = subprocess.run(
        [sys.executable, str(PROGRAM)],
        input=json.dumps(list(trainings.values())),
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert run.returncode == 0, run.stderr
    (folder / "said").write_text(run.stderr)
    return folder, dict(zip(trainings, json.loads(run.stdout), strict=True))


def _save(tile: Image, path: Path) -> None:
    from PIL import Image as Picture

    Picture.fromarray(tile).save(path)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")


def losses(folder: Path) -> list[float]:
    rows = (folder / "loss.csv").read_text().split()[1:]
    return [float(row.split(",")[1]) for row in rows]


Ends = tuple[Path, dict[str, list[int]]]


def test_two_processes_end_in_the_weights_of_one(ends: Ends) -> None:
    folder, codes = ends
    assert codes["one"] == [0]
    assert codes["two"] == [0, 0]
    assert_alike(folder / "one", folder / "two")


def assert_alike(one: Path, other: Path) -> None:
    ours, theirs = weights(one), weights(other)
    for name, tensor in ours.items():
        if not name.endswith("to_k.bias"):  # no output depends on it, so its gradient is rounding
            torch.testing.assert_close(theirs[name], tensor, rtol=1e-3, atol=2e-5, msg=name)
    assert losses(other) == pytest.approx(losses(one), rel=1e-5)


@pytest.mark.long
def test_accelerate_launches_two_processes_on_the_cpu(ends: Ends) -> None:
    folder, _ = ends
    words = ["launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"]
    words += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    words += ["-m", "memaudit", "train", str(folder / "data"), "--out", str(folder / "launched")]
    launcher = [sys.executable, "-m", "accelerate.commands.accelerate_cli"]
    run = subprocess.run(
        [*launcher, *words, *SMALL, *STEPS, *AMBIENT],
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("8 steps, 10 images; scan it with") == 1  # the first process speaks
    assert_alike(folder / "one", folder / "launched")
    assert losses(folder / "launched") != losses(folder / "one")  # rounded otherwise: there are two


def test_two_processes_that_are_killed_go_on_to_the_same_weights(ends: Ends) -> None:
    folder, codes = ends
    assert codes["killed"] == [-9, -9]
    assert codes["resumed"] == [0, 0]
    ours, theirs = weights(folder / "two"), weights(folder / "killed")
    assert all(torch.equal(theirs[name], tensor) for name, tensor in ours.items())
    assert losses(folder / "killed") == losses(folder / "two")


def test_a_batch_that_does_not_divide_is_refused(ends: Ends) -> None:
    folder, codes = ends
    assert codes["odd"] == [2, 2]
    assert "--batch-size 5 does not divide among 2 processes" in (folder / "said").read_text()
    assert not (folder / "odd").exists()


def test_all_processes_stop_where_the_loss_is_lost_and_a_finite_checkpoint_stays(
    ends: Ends,
) -> None:
    folder, codes = ends
    assert codes["diverging"] == [TrainingDivergedError.exit_code] * 2
    newest = sorted((folder / "diverging" / "checkpoints").iterdir())[-1]
    assert all(bool(tensor.isfinite().all()) for tensor in load_file(newest).values())
    assert not (folder / "diverging" / "unet").exists()


def test_rows_are_shared_out_evenly_and_in_order() -> None:
    cpu = torch.device("cpu")
    rows = [Processes(3, k, cpu).rows(12) for k in range(3)]
    assert [list(range(12))[part] for part in rows] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9, 10, 11],
    ]

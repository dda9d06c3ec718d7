"""What the network of a single file predicts is said by the user, the file or the base, in turn."""

from pathlib import Path

import pytest
import torch
from diffusers import DDPMScheduler
from single_files import of_class, write
from single_names import Tensors
from tiny import SCHEDULE, write_sd
from tiny_families import write_flux, write_sdxl

from memaudit.errors import ConfigError, ModelError
from memaudit.models.load import load_model
from memaudit.models.loaded import Loaded, ModelOptions
from memaudit.models.parameterization import variance_preserving
from memaudit.models.single.checkpoint import open_checkpoint
from memaudit.models.single.prediction import expect_schedule

V, EPSILON = "v_prediction", "epsilon"
MARK = {"v_pred": torch.tensor([])}
MARKS = {**MARK, "ztsnr": torch.tensor([])}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = tmp_path_factory.mktemp("folders")
    return {
        EPSILON: write_sd(made / "sd"),
        V: write_sd(made / "sd2", prediction_type=V),
        "xl": write_sdxl(made / "xl"),
    }


@pytest.fixture(scope="module")
def tensors(folders: dict[str, Path]) -> Tensors:
    return of_class(folders[EPSILON])


def opened(file: Path, base: Path, prediction: str | None = None) -> Loaded:
    return load_model(str(file), ModelOptions(base=str(base), prediction=prediction))


def reading(loaded: Loaded) -> tuple[str, float]:
    """What is predicted, and the highest noise."""
    denoiser = loaded.denoiser
    return loaded.provenance.reading["prediction_type"], round(denoiser.sigma_max, 1)


@pytest.mark.parametrize("said", [EPSILON, V])
def test_the_base_says_what_is_predicted(
    folders: dict[str, Path], tensors: Tensors, tmp_path: Path, said: str
) -> None:
    file = write(tmp_path / "model.safetensors", tensors)
    assert reading(opened(file, folders[said])) == (said, 14.6)


@pytest.mark.parametrize("asked", [EPSILON, V])
@pytest.mark.parametrize("said", [EPSILON, V])
def test_the_user_has_the_last_word_over_the_base(
    folders: dict[str, Path], tensors: Tensors, tmp_path: Path, said: str, asked: str
) -> None:
    file = write(tmp_path / "model.safetensors", tensors)
    assert reading(opened(file, folders[said], asked)) == (asked, 14.6)


def test_a_file_that_is_marked_so_predicts_v(folders: dict[str, Path], tmp_path: Path) -> None:
    tensors = of_class(folders["xl"])
    marked = write(tmp_path / "marked.safetensors", tensors | MARK)
    assert reading(opened(marked, folders["xl"])) == (V, 14.6)


def test_a_file_that_is_marked_so_ends_in_pure_noise(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    file = write(tmp_path / "model.safetensors", of_class(folders["xl"]) | MARKS)
    made = opened(file, folders["xl"])
    rescaled = DDPMScheduler(**SCHEDULE, rescale_betas_zero_snr=True).alphas_cumprod.double()
    last = float(((1 - rescaled[-2]) / rescaled[-2]).sqrt())
    assert reading(made) == (V, round(last, 1))
    assert made.provenance.details["scheduler"]["rescale_betas_zero_snr"] is True
    assert made.provenance.details["single_file"]["unused"]["says what the network predicts"] == 2
    x = torch.randn(1, *made.denoiser.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        answer = made.denoiser.denoise(x, torch.tensor([50.0]), [""])
    assert torch.isfinite(answer).all()


@pytest.mark.parametrize(("spoken", "said"), [("v", V), ("epsilon", EPSILON)])
def test_the_header_of_a_file_says_what_is_predicted(
    folders: dict[str, Path], tensors: Tensors, tmp_path: Path, spoken: str, said: str
) -> None:
    said_so = {"modelspec.prediction_type": spoken}
    file = write(tmp_path / "model.safetensors", tensors, **said_so)
    other = V if said == EPSILON else EPSILON
    assert reading(opened(file, folders[other]))[0] == said
    with pytest.raises(ConfigError, match=f"--prediction is {other}, and .* predicts {said}"):
        opened(file, folders[other], other)


def test_a_header_that_says_something_else_is_refused(
    folders: dict[str, Path], tensors: Tensors, tmp_path: Path
) -> None:
    said = {"modelspec.prediction_type": "\x1b[31mwords"}
    file = write(tmp_path / "model.safetensors", tensors, **said)
    with pytest.raises(ModelError, match=r"the header of .* expected one of v, v_prediction"):
        opened(file, folders[EPSILON])


def test_the_user_may_not_contradict_the_file(
    folders: dict[str, Path], tensors: Tensors, tmp_path: Path
) -> None:
    file = write(tmp_path / "model.safetensors", tensors | MARK)
    with pytest.raises(ConfigError, match=r"--prediction is epsilon, and .*leave the option out"):
        opened(file, folders[V], EPSILON)


def test_a_flow_predicts_no_noise(tmp_path: Path) -> None:
    flux = write_flux(tmp_path / "flux")
    file = write(tmp_path / "model.safetensors", of_class(flux))
    with pytest.raises(ConfigError, match=r"and .* is a FLUX.1; leave it out"):
        opened(file, flux, V)


def test_a_file_with_a_schedule_of_its_own_asks_for_a_base(tmp_path: Path) -> None:
    reading = variance_preserving(SCHEDULE)
    ours = DDPMScheduler(**SCHEDULE).alphas_cumprod
    other = DDPMScheduler(beta_schedule="linear").alphas_cumprod
    for table in (ours, ours.half(), ours.bfloat16()):
        file = write(tmp_path / "model.safetensors", {"alphas_cumprod": table})
        expect_schedule(open_checkpoint(file), reading)
    for table in (other, ours[:500], torch.full((1000,), float("nan"))):
        file = write(tmp_path / "model.safetensors", {"alphas_cumprod": table})
        with pytest.raises(ModelError, match="holds a noise schedule of its own"):
            expect_schedule(open_checkpoint(file), reading)

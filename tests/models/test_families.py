"""Families of models: which one opens a folder, and those that other packages add."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import DDPMScheduler, EDMEulerScheduler, UNet2DModel
from outside import IMAGES
from plugging import install
from safetensors.torch import save_file
from torch import Tensor

from memaudit.config import CLOSED_FORM
from memaudit.errors import ConfigError, DependencyError, ModelError
from memaudit.models.closed_form import ClosedForm
from memaudit.models.families.registry import BUILT_IN, FAMILIES, GROUP
from memaudit.models.load import load_model
from memaudit.models.loaded import ModelOptions
from memaudit.models.provenance import Provenance

MakeUnet = Callable[..., UNet2DModel]


@pytest.fixture
def plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Install a package with one family: plug_in(name, target)."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)
    return lambda name, target: install(site, GROUP, name, target)


@pytest.fixture
def folder(tmp_path: Path, clean: Tensor) -> Path:
    """A model of the family in outside.py."""
    made = tmp_path / "model"
    made.mkdir()
    save_file({"images": clean.contiguous()}, made / IMAGES)
    return made


def test_a_family_of_another_package_opens_its_folders(
    plug_in: Callable[[str, str], None], folder: Path, clean: Tensor
) -> None:
    plug_in("exact-edm", "outside:FAMILY")
    loaded = load_model(str(folder), ModelOptions())
    assert loaded.provenance == Provenance(
        family="exact-edm", model=str(folder), reading={"parameterization": "edm"}
    )
    x, sigma = clean[:3] + 0.1, torch.full((3,), 0.5)
    exact = ClosedForm(clean).denoise(x, sigma)
    torch.testing.assert_close(loaded.denoiser.denoise(x, sigma), exact, rtol=0, atol=1e-4)


def test_without_the_package_its_folders_are_refused(folder: Path) -> None:
    with pytest.raises(ModelError, match=f"holds no model: .* found {IMAGES}"):
        load_model(str(folder), ModelOptions())


def test_a_family_without_folders_is_asked_for_by_name(
    plug_in: Callable[[str, str], None], folder: Path
) -> None:
    plug_in("exact", "outside:BY_NAME")
    loaded = load_model(f"exact:{folder}", ModelOptions())
    assert loaded.provenance.model == f"exact:{folder}"
    assert loaded.denoiser.sigma_max == 80
    with pytest.raises(ModelError, match="holds no model"):
        load_model(str(folder), ModelOptions())


def test_the_perfect_memorizer_is_asked_for_by_the_prefix_of_the_configuration() -> None:
    assert CLOSED_FORM.removesuffix(":") in BUILT_IN


def test_a_plug_in_takes_no_folder_from_a_built_in_family(
    plug_in: Callable[[str, str], None], make_unet: MakeUnet, tmp_path: Path
) -> None:
    plug_in("greedy", "outside:GREEDY")
    plug_in("pixel", "outside:GREEDY")
    make_unet().save_pretrained(tmp_path / "unet")
    assert load_model(str(tmp_path / "unet"), ModelOptions()).provenance.family == "pixel"
    assert [*FAMILIES.available()] == [*BUILT_IN, "greedy"]


@pytest.mark.parametrize("scheduler", [DDPMScheduler(), EDMEulerScheduler()])
def test_a_network_that_no_built_in_family_understands_is_left_to_plug_ins(
    plug_in: Callable[[str, str], None],
    make_unet: MakeUnet,
    folder: Path,
    scheduler: DDPMScheduler | EDMEulerScheduler,
) -> None:
    plug_in("exact-edm", "outside:FAMILY")
    make_unet().save_pretrained(folder)
    scheduler.save_pretrained(folder)
    understood = isinstance(scheduler, DDPMScheduler)
    family = load_model(str(folder), ModelOptions()).provenance.family
    assert family == ("pixel" if understood else "exact-edm")


def test_a_base_is_refused_for_a_family_that_is_put_into_none(
    plug_in: Callable[[str, str], None], folder: Path
) -> None:
    plug_in("exact-edm", "outside:FAMILY")
    with pytest.raises(ConfigError, match="--base-model is the pipeline of LoRA adapters"):
        load_model(str(folder), ModelOptions(base="somewhere"))


def test_a_family_that_cannot_be_imported_is_named_where_it_is_needed(
    plug_in: Callable[[str, str], None], make_unet: MakeUnet, folder: Path, tmp_path: Path
) -> None:
    plug_in("absent", "no_such_module:FAMILY")
    with pytest.raises(DependencyError, match="family 'absent' cannot be imported from no_such"):
        load_model(str(folder), ModelOptions())
    make_unet().save_pretrained(tmp_path / "unet")
    load_model(str(tmp_path / "unet"), ModelOptions())

"""Noisy copies of other pixels than the scan reads, where their noise is known and where not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from noisy_models import SIGMA_N, TRAINING, clean, unaware, write
from PIL import Image
from runs import ask, photographed, save

from memaudit.attacks.reconstruction import ODE
from memaudit.audit import scan
from memaudit.config import Noise
from memaudit.corruption.noise import frozen_noise
from memaudit.data import image_id
from memaudit.errors import DataError
from memaudit.models.ambient import MEMAUDIT
from memaudit.models.closed_form import AmbientClosedForm
from memaudit.records import CLEAN, COPY
from memaudit.statistics.probes import Probe, probes_in
from memaudit.statistics.verdict import Outcome

MEMBERS, CONTROLS = 40, 80
NOISE = Noise(sigmas=(0.8, 1.5), draws=1)


@pytest.fixture(scope="module")
def images():
    """40 members, 80 controls and 20 others."""
    tiles = photographed()
    tiles = [tiles[k] for k in np.random.default_rng(0).permutation(len(tiles))]
    return tiles[: MEMBERS + CONTROLS + 20]


@pytest.fixture(scope="module")
def folder(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("copies")
    save(folder / "members", images[:MEMBERS])
    save(folder / "controls", images[MEMBERS : MEMBERS + CONTROLS])
    return folder


@pytest.fixture
def asked(folder, tmp_path):
    return ask(
        folder / "members",
        tmp_path / "run",
        model="my own",
        controls=folder / "controls",
        index=folder / "index",
        noise=NOISE,
        power=False,
        reconstruct=("ode",),
        steps=10,
    )


def blurred(images):
    """Other pixels: as if made smaller and larger by another filter, some grey levels off."""
    made = []
    for image in images:
        height, width = image.shape[:2]
        large = Image.fromarray(image).resize((2 * width, 2 * height), Image.Resampling.BICUBIC)
        made.append(np.asarray(large.resize((width, height), Image.Resampling.BILINEAR)))
    return made


def by_law(images, seen):
    """The copies that memaudit train makes of images that it saw as `seen`."""
    ids = [image_id(image) for image in images]
    x0 = clean(seen)
    return x0 + SIGMA_N * frozen_noise(ids, x0.shape[1:], SIGMA_N, TRAINING.seed)


def of_another(seen, seed=0):
    """Copies in noise that nobody can draw again."""
    x0 = clean(seen)
    return x0 + SIGMA_N * torch.randn(x0.shape, generator=torch.Generator().manual_seed(seed))


def innocent(images, place: Path, drawn_by=""):
    loaded = unaware(images[MEMBERS + CONTROLS :], place)
    return replace(loaded, ambient=replace(TRAINING, drawn_by=drawn_by))


@pytest.mark.parametrize("drawn_by", ["", MEMAUDIT])
@pytest.mark.parametrize("other", [1, MEMBERS])
def test_a_copy_of_other_pixels_is_refused_where_the_noise_is_known(
    asked, images, tmp_path, drawn_by, other
):
    members = images[:MEMBERS]
    seen = [*blurred(members[:other]), *members[other:]]
    write(tmp_path / "model", members, by_law(members, seen))
    words = rf"{other} of 40 noisy copies in .* they differ by up to 0\.\d+.*--resize"
    with pytest.raises(DataError, match=words):
        scan(asked, loaded=innocent(images, tmp_path / "model", drawn_by))


def test_copies_of_other_noise_are_refused_where_memaudit_drew_it(asked, images, tmp_path):
    write(tmp_path / "model", images[:MEMBERS], of_another(images[:MEMBERS]))
    with pytest.raises(DataError, match="40 of 40 noisy copies"):
        scan(asked, loaded=innocent(images, tmp_path / "model", MEMAUDIT))


@pytest.mark.parametrize("kept", [torch.float32, torch.float16, torch.bfloat16])
def test_rounding_of_the_file_is_no_other_image(asked, images, tmp_path, kept):
    members = images[:MEMBERS]
    write(tmp_path / "model", members, by_law(members, members).to(kept))
    result = scan(asked, loaded=innocent(images, tmp_path / "model"))
    assert result.prepared.copies.by_law
    assert result.prepared.copies.doubt == ""
    assert result.summary.verdict.outcome is not Outcome.EVIDENCE


def test_one_grey_level_is_another_image_even_in_bfloat16(asked, images, tmp_path):
    members = images[:MEMBERS]
    seen = [*members[:-1], np.clip(members[-1], 0, 254) + np.uint8(1)]
    write(tmp_path / "model", members, by_law(members, seen).to(torch.bfloat16))
    with pytest.raises(DataError, match="1 of 40 noisy copies"):
        scan(asked, loaded=innocent(images, tmp_path / "model"))


def test_copies_of_another_origin_are_trusted_if_their_noise_is_white(asked, images, tmp_path):
    members = images[:MEMBERS]
    copies = of_another(members, seed=1)
    write(tmp_path / "model", members, copies)
    model = AmbientClosedForm(copies, training=TRAINING)
    loaded = replace(innocent(images, tmp_path / "model"), denoiser=model)
    result = scan(asked, loaded=loaded)
    assert not result.prepared.copies.by_law
    assert result.prepared.copies.doubt == ""
    assert result.summary.verdict.outcome is Outcome.EVIDENCE
    assert result.summary.conduct.noisy.of_copies.auc > 0.99


def test_copies_of_another_origin_and_other_pixels_are_shown_and_carry_no_verdict(
    asked, images, tmp_path
):
    members = images[:MEMBERS]
    write(tmp_path / "model", members, of_another(blurred(members)))
    result = scan(asked, loaded=innocent(images, tmp_path / "model"))
    assert probes_in(result.scores) == [Probe(ODE), Probe(ODE, COPY)]
    assert {level.input for level in result.summary.levels} == {CLEAN, COPY}
    assert result.findings["copy_correlation"].notna().all()
    assert set(result.findings["input"]) == {CLEAN}
    assert result.summary.conduct.noisy.correlation is None
    assert "hold more than white noise" in result.prepared.copies.doubt
    assert result.summary.verdict.outcome is Outcome.INCONCLUSIVE
    assert "its noisy copies carry no verdict" in result.summary.verdict.reasons[0]
    said = (Path(result.config.execution.out) / "summary.txt").read_text()
    assert "its noisy copies carry no verdict: they hold more than white noise" in said
    assert "--resize" in said

"""Every class of pipelines, tiny and random: asked as diffusers asks it, and exact where known."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler
from tiny_families import WRITERS, write_sd3
from torch import Tensor, nn

from memaudit.errors import ConfigError, MisreadModelError, ModelError
from memaudit.models.closed_form import ClosedForm
from memaudit.models.families.registry import PIPELINES
from memaudit.models.flow import FlowMatching
from memaudit.models.latent import LatentDenoiser
from memaudit.models.load import load_model
from memaudit.models.loaded import Loaded, ModelOptions
from memaudit.models.self_check import judge, self_check
from memaudit.records import Image

CAPTIONS = ["a cat", "two cats on a mat"]
SIGMAS = [0.03, 0.1, 0.3, 0.6, 1.0, 2.0, 5.0, 10.0, 14.0]
U = 0.7  # of the one step that pipelines take here
CENTRE, SPREAD = 0.3, 0.8  # of the Gaussian whose posterior mean is known
UNGUIDED = {"guidance_scale": 1.0}
CALLS: dict[str, dict[str, object]] = {  # how a pipeline is asked for its network's own answer
    "QwenImagePipeline": {"true_cfg_scale": 1.0},
    "ZImagePipeline": {"guidance_scale": 0.0},
    "PixArtAlphaPipeline": {**UNGUIDED, "use_resolution_binning": False, "clean_caption": False},
    "PixArtSigmaPipeline": {**UNGUIDED, "use_resolution_binning": False, "clean_caption": False},
    "SanaPipeline": {**UNGUIDED, "use_resolution_binning": False, "clean_caption": False},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a pipeline, written once."""
    written: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in written:
            torch.manual_seed(0)
            written[name] = WRITERS[name](tmp_path_factory.mktemp(name))
        return written[name]

    return get


@pytest.fixture(params=list(WRITERS))
def opened(request: pytest.FixtureRequest, folder: Callable[[str], Path]) -> Loaded:
    return load_model(str(folder(request.param)), ModelOptions(resolution=32))


def latent(loaded: Loaded) -> LatentDenoiser:
    assert isinstance(loaded.denoiser, LatentDenoiser)
    return loaded.denoiser


def noisy(denoiser: LatentDenoiser, count: int = 2) -> Tensor:
    return torch.randn((count, *denoiser.shape), generator=torch.Generator().manual_seed(1))


def captions(denoiser: LatentDenoiser) -> list[str]:
    return CAPTIONS if denoiser.conditioning == "caption" else []


def test_every_class_that_is_read_has_a_tiny_pipeline_here() -> None:
    inpainting = {name for name in PIPELINES if "Inpaint" in name}
    assert {*WRITERS} == PIPELINES.keys() - inpainting


def test_it_answers_as_the_pipeline_of_diffusers_does(opened: Loaded) -> None:
    """One step of the pipeline from x_t to no noise is the network's own estimate of x0."""
    denoiser, name = latent(opened), str(opened.provenance.details["class"])
    x, prompts = noisy(denoiser), captions(denoiser)
    flows = isinstance(denoiser.parameterization, FlowMatching)
    sigma = U / (1 - U) if flows else denoiser.sigma_of_timestep(999)
    with torch.no_grad():
        ours = denoiser.denoise(x, torch.full((2,), sigma), prompts)
    shown = (1 - U) * x if flows else x / (1 + sigma**2) ** 0.5
    theirs = one_step(denoiser, name, shown, prompts)
    scale = float(theirs.abs().max())
    torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-4 * scale)


def one_step(denoiser: LatentDenoiser, name: str, shown: Tensor, prompts: list[str]) -> Tensor:
    """What a pipeline makes of x_t in one step, [B, C, h, w]."""
    pipeline, flows = denoiser.pipeline, isinstance(denoiser.parameterization, FlowMatching)
    if name == "LDMPipeline":  # it takes no latents
        pipeline.scheduler.set_timesteps(1)
        answer = pipeline.unet(shown, 999).sample
        return pipeline.scheduler.step(answer, 999, shown).pred_original_sample
    if name == "PixArtAlphaPipeline":  # which tells the size at this size alone
        pipeline.transformer.register_to_config(sample_size=128)
    if flows:
        pipeline.scheduler = FlowMatchEulerDiscreteScheduler(shift=1.0)
        steps: dict[str, object] = {"sigmas": [U]}
    else:
        betas = {
            key: pipeline.scheduler.config[key]
            for key in ("beta_schedule", "beta_start", "beta_end")
        }
        pipeline.scheduler = DDIMScheduler(
            **betas, clip_sample=False, timestep_spacing="trailing", set_alpha_to_one=True
        )
        steps = {"num_inference_steps": 1}
    packs = hasattr(pipeline, "_pack_latents")
    rows = [
        pipeline(
            prompt=prompt,
            height=32,
            width=32,
            latents=pack(name, pipeline, row[None]) if packs else row[None],
            output_type="latent",
            **(CALLS.get(name) or UNGUIDED),
            **steps,
        ).images
        for prompt, row in zip(prompts, shown, strict=True)
    ]
    return torch.cat([unpack(name, pipeline, row, shown.shape) for row in rows])


def pack(name: str, pipeline: Any, row: Tensor) -> Tensor:
    if name.startswith("Flux2"):
        return row
    return pipeline._pack_latents(row, 1, *row.shape[1:])


def unpack(name: str, pipeline: Any, row: Tensor, shape: torch.Size) -> Tensor:
    if name == "Flux2Pipeline":
        return row.view(1, 8, 8, 16).permute(0, 3, 1, 2)
    if name == "Flux2KleinPipeline":  # which gives out latents of its VAE
        normal, config = pipeline.vae.bn, pipeline.vae.config
        centred = pipeline._patchify_latents(row) - normal.running_mean.view(1, -1, 1, 1)
        return centred / (normal.running_var + config.batch_norm_eps).sqrt().view(1, -1, 1, 1)
    if row.ndim == 3:
        row = pipeline._unpack_latents(row, 32, 32, pipeline.vae_scale_factor)
    return row.reshape(1, *shape[1:])


class Exact(nn.Module):
    """The posterior mean of a Gaussian, asked in the convention of a class of pipelines."""

    def __init__(self, network: nn.Module, name: str) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.config, self.name = network.config, name
        self.use_additional_conditions = getattr(network, "use_additional_conditions", None)
        self.dtype, self.device = torch.float32, torch.device("cpu")
        self.alphas: Tensor | None = None

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        shown = kwargs.get("hidden_states", args[0] if args else None)
        time = kwargs.get("timestep", args[1] if len(args) > 1 else None)
        x_t = self.unpacked(torch.stack(shown) if isinstance(shown, list) else shown)
        a, s = self.amounts(time.view(-1, 1, 1, 1).double())
        x_t = x_t.double()
        x0 = self.estimate(x_t, a, s)
        n = (x_t - a * x0) / s
        flow = (n - x0).float()
        if self.alphas is not None:
            answer = torch.cat([n, n], 1).float() if "PixArt" in self.name else n.float()
        else:
            answer = flow
        return (self.packed(answer),)

    def estimate(self, x_t: Tensor, a: Tensor, s: Tensor) -> Tensor:
        """The posterior mean of x0 given x_t = a x0 + s n."""
        gain = a * SPREAD**2 / (a**2 * SPREAD**2 + s**2)
        return CENTRE + gain * (x_t - a * CENTRE)

    def amounts(self, time: Tensor) -> tuple[Tensor, Tensor]:
        """Of signal and of noise."""
        if self.alphas is not None:
            steps = np.arange(len(self.alphas))
            sigmas = ((1 - self.alphas) / self.alphas).sqrt().log().numpy()
            sigma = torch.from_numpy(np.exp(np.interp(time.flatten().numpy(), steps, sigmas)))
            sigma = sigma.view(time.shape)
            return (1 + sigma**2).rsqrt(), sigma * (1 + sigma**2).rsqrt()
        u = time
        if self.name in ("StableDiffusion3Pipeline", "SanaPipeline"):
            u = time / 1000
        if self.name in ("Lumina2Pipeline", "ZImagePipeline"):
            u = 1 - time
        return 1 - u, u

    def unpacked(self, shown: Tensor) -> Tensor:
        count = len(shown)
        if self.name.startswith("Flux2"):
            return shown.view(count, 8, 8, 16).permute(0, 3, 1, 2)
        if self.name in ("FluxPipeline", "QwenImagePipeline"):
            cells = shown.view(count, 8, 8, 4, 2, 2)
            return cells.permute(0, 3, 1, 4, 2, 5).reshape(count, 4, 16, 16)
        return shown[:, :, 0] if self.name == "ZImagePipeline" else shown

    def packed(self, answer: Tensor) -> Any:
        count = len(answer)
        if self.name in ("Lumina2Pipeline", "ZImagePipeline"):
            answer = -answer
        if self.name.startswith("Flux2"):
            return answer.permute(0, 2, 3, 1).reshape(count, 64, 16)
        if self.name in ("FluxPipeline", "QwenImagePipeline"):
            cells = answer.view(count, 4, 8, 2, 8, 2)
            return cells.permute(0, 2, 4, 1, 3, 5).reshape(count, 64, 16)
        return [*answer[:, :, None]] if self.name == "ZImagePipeline" else answer


def exact(loaded: Loaded, kind: type[Exact] = Exact) -> LatentDenoiser:
    """The same pipeline with a network that knows the answer."""
    denoiser, name = latent(loaded), str(loaded.provenance.details["class"])
    part = "unet" if hasattr(denoiser.pipeline, "unet") else "transformer"
    network = kind(getattr(denoiser.pipeline, part), name)
    if not isinstance(denoiser.parameterization, FlowMatching):
        network.alphas = denoiser.pipeline.scheduler.alphas_cumprod.double()
    setattr(denoiser.pipeline, part, network)
    return denoiser


def test_an_exact_network_gives_the_posterior_mean(opened: Loaded) -> None:
    denoiser = exact(opened)
    x0 = CENTRE + SPREAD * noisy(denoiser, len(SIGMAS))
    noise = torch.randn(x0.shape, generator=torch.Generator().manual_seed(2))
    sigma = torch.tensor(SIGMAS).clamp(denoiser.sigma_min * 1.0001, denoiser.sigma_max * 0.9999)
    x = x0 + sigma.view(-1, 1, 1, 1) * noise
    share = (SPREAD**2 / (SPREAD**2 + sigma**2)).view(-1, 1, 1, 1)
    expected = CENTRE + share * (x - CENTRE)
    with torch.no_grad():
        found = denoiser.denoise(x, sigma)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_every_misreading_answers_otherwise(opened: Loaded) -> None:
    denoiser = latent(opened)
    x, sigma = noisy(denoiser), torch.tensor([0.5, 2.0])
    with torch.no_grad():
        right = denoiser.denoise(x, sigma)
        wrong = {name: other.denoise(x, sigma) for name, other in denoiser.misreadings()}
    assert len(wrong) >= 6
    assert not [name for name, each in wrong.items() if float((each - right).abs().max()) < 1e-4]


def test_captions_reach_the_network_row_by_row(opened: Loaded) -> None:
    denoiser = latent(opened)
    if denoiser.conditioning == "none":
        pytest.skip("nothing is told")
    x, sigma = noisy(denoiser), torch.tensor([0.5, 2.0])
    with torch.no_grad():
        told = denoiser.denoise(x, sigma, CAPTIONS)
        first = denoiser.denoise(x[:1], sigma[:1], CAPTIONS[:1])
        other = denoiser.denoise(x, sigma, [CAPTIONS[0], "a house, by night"])
    torch.testing.assert_close(told[:1], first, rtol=1e-4, atol=1e-5)
    assert float((told[1] - other[1]).abs().max()) > 1e-7
    torch.testing.assert_close(told[0], other[0], rtol=1e-4, atol=1e-5)


def test_images_come_back_from_the_space_of_the_model_as_from_the_vae(opened: Loaded) -> None:
    denoiser = latent(opened)
    images = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    vae = denoiser.codec.vae
    with torch.no_grad():
        pixels = vae.decode(vae.encode(images / 127.5 - 1))
    expected = ((pixels.clamp(-1, 1) + 1) * 127.5).round().int()
    found = denoiser.decode(denoiser.encode(images)).int()
    assert int((found - expected).abs().max()) <= 1


@pytest.mark.parametrize("name", list(WRITERS))
def test_half_the_bits_give_nearly_the_same_answer(
    name: str, folder: Callable[[str], Path]
) -> None:
    whole, half = (
        latent(load_model(str(folder(name)), ModelOptions(resolution=32, dtype=dtype)))
        for dtype in ("float32", "bfloat16")
    )
    assert {p.dtype for p in half.backbone.network.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in half.codec.vae.module.parameters()} == {torch.float32}
    x, sigma = noisy(whole), torch.tensor([0.5, 2.0])
    with torch.no_grad():
        exactly, nearly = (one.denoise(x, sigma, captions(one)) for one in (whole, half))
    assert nearly.dtype == torch.float32
    assert float((exactly - nearly).square().mean() / exactly.square().mean()) < 0.01


@pytest.mark.parametrize("name", list(WRITERS))
def test_images_need_not_be_square(name: str, folder: Callable[[str], Path]) -> None:
    denoiser = load_model(str(folder(name)), ModelOptions(resolution=(48, 32))).denoiser
    images = torch.randint(0, 256, (2, 3, 48, 32), dtype=torch.uint8)
    x0 = denoiser.encode(images)
    assert x0.shape[1:] == denoiser.shape
    assert denoiser.resolution == (48, 32)
    with torch.no_grad():
        found = denoiser.denoise(x0, torch.tensor([0.5, 2.0]))
        turned = denoiser.denoise(x0.roll(1, 2), torch.tensor([0.5, 2.0]))
    assert found.shape == x0.shape
    assert found.isfinite().all()
    assert not torch.equal(found, turned)
    assert denoiser.decode(found).shape == images.shape


@pytest.mark.parametrize("name", list(WRITERS))
def test_a_part_of_another_class_is_refused(
    name: str, folder: Callable[[str], Path], tmp_path: Path
) -> None:
    copy = shutil.copytree(folder(name), tmp_path / "model")
    index = json.loads((copy / "model_index.json").read_text())
    part = "vqvae" if name == "LDMPipeline" else "vae"
    index[part] = ["diffusers", "AutoencoderTiny"]
    (copy / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match=f"{part} is a AutoencoderTiny, expected a Auto|VQ"):
        load_model(str(copy), ModelOptions(resolution=32))


def test_classes_are_known_by_the_names_that_folders_of_old_give_them(
    folder: Callable[[str], Path], tmp_path: Path
) -> None:
    old = {"PixArtAlphaPipeline": "Transformer2DModel", "Lumina2Pipeline": None}
    for name, transformer in old.items():
        copy = shutil.copytree(folder(name), tmp_path / name)
        index = json.loads((copy / "model_index.json").read_text())
        if transformer is not None:
            index["transformer"] = ["diffusers", transformer]
            config = json.loads((copy / "transformer/config.json").read_text())
            config["_class_name"] = transformer
            (copy / "transformer/config.json").write_text(json.dumps(config))
        else:
            index["_class_name"] = "Lumina2Text2ImgPipeline"
        (copy / "model_index.json").write_text(json.dumps(index))
        before, after = (
            latent(load_model(str(place), ModelOptions(resolution=32)))
            for place in (folder(name), copy)
        )
        x, sigma = noisy(before), torch.tensor([0.5, 2.0])
        with torch.no_grad():
            torch.testing.assert_close(before.denoise(x, sigma), after.denoise(x, sigma))


def test_a_network_that_sees_further_images_is_refused(tmp_path: Path) -> None:
    torch.manual_seed(0)
    copy = write_sd3(tmp_path / "model", channels=33)
    with pytest.raises(ModelError, match="takes 33 channels, expected 16"):
        load_model(str(copy), ModelOptions(resolution=32))


def test_a_variant_that_no_part_has_is_refused(folder: Callable[[str], Path]) -> None:
    asked = ModelOptions(resolution=32, variant="fp17")
    with pytest.raises(ModelError, match=r"no part of .* has weights of the variant fp17"):
        load_model(str(folder("FluxPipeline")), asked)


@pytest.mark.parametrize("name", ["FluxPipeline", "Flux2Pipeline"])
def test_distilled_guidance_is_told_and_kept(name: str, folder: Callable[[str], Path]) -> None:
    own, more = (
        load_model(str(folder(name)), ModelOptions(resolution=32, distilled_guidance=guidance))
        for guidance in (None, 3.5)
    )
    assert own.provenance.details["distilled_guidance"] == 1
    assert more.provenance.details["distilled_guidance"] == 3.5
    x, sigma = noisy(latent(own)), torch.tensor([0.5, 2.0])
    with torch.no_grad():
        told = dict(latent(own).misreadings())["told a guidance of 3.5"].denoise(x, sigma)
        assert torch.equal(latent(more).denoise(x, sigma), told)
        assert not torch.equal(latent(own).denoise(x, sigma), told)
    assert "told a guidance of 1" in dict(latent(more).misreadings())


@pytest.mark.parametrize(("distilled", "estimate"), [(False, "mean"), (True, "sample")])
def test_a_distilled_model_is_said_to_answer_with_a_draw(
    folder: Callable[[str], Path], tmp_path: Path, distilled: bool, estimate: str
) -> None:
    copy = shutil.copytree(folder("Flux2KleinPipeline"), tmp_path / "model")
    index = json.loads((copy / "model_index.json").read_text())
    (copy / "model_index.json").write_text(json.dumps({**index, "is_distilled": distilled}))
    assert load_model(str(copy), ModelOptions(resolution=32)).denoiser.estimate == estimate


def test_guidance_is_refused_where_none_was_distilled_in(folder: Callable[[str], Path]) -> None:
    asked = ModelOptions(resolution=32, distilled_guidance=3.5)
    for name in ("StableDiffusion3Pipeline", "Flux2KleinPipeline"):
        with pytest.raises(ConfigError, match=r"--distilled-guidance 3\.5 is for models"):
            load_model(str(folder(name)), asked)


def test_images_of_little_contrast_do_not_make_a_right_reading_wrong(
    folder: Callable[[str], Path],
) -> None:
    """A prior of a deviation, and images of a third of that."""
    denoiser = exact(load_model(str(folder("FluxPipeline")), ModelOptions(resolution=32)))
    x0 = CENTRE + 0.3 * SPREAD * noisy(denoiser, 32)
    check = judge(denoiser, x0)
    assert "read as" not in check.refusal


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("WanPipeline", "makes video"),
        ("StableAudioPipeline", "makes sound"),
        ("VQDiffusionPipeline", "draws discrete tokens"),
        ("StableDiffusionControlNetPipeline", "is told a further image"),
        ("FluxKontextPipeline", "changes an image that it is given"),
        ("KolorsPipeline", "which this version does not read"),
        (["mine", "MyPipeline"], "no code of a model is run"),
        (None, "no code of a model is run"),
    ],
)
def test_other_pipelines_are_refused_by_name(name: object, reason: str, tmp_path: Path) -> None:
    index = {"_class_name": name, "vae": ["diffusers", "AutoencoderKL"]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match=re.escape(reason)):
        load_model(str(tmp_path), ModelOptions())


class Memorizing(Exact):
    """A network that knows the closed-form answer of a few latents, and minds its guidance."""

    latents: Tensor

    def estimate(self, x_t: Tensor, a: Tensor, s: Tensor) -> Tensor:
        sigma = (s / a).flatten().float().clamp(max=1e6)
        return ClosedForm(self.latents).denoise((x_t / a.clamp(min=1e-6)).float(), sigma).double()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        answer = super().forward(*args, **kwargs)[0]
        guidance = kwargs.get("guidance")
        if guidance is None:
            return (answer,)
        return (answer * (1 + 0.3 * (guidance - 1)).view(-1, *[1] * (answer.ndim - 1)),)


@pytest.fixture
def memorizer(opened: Loaded, tiles: list[Image]) -> tuple[LatentDenoiser, Tensor]:
    """A pipeline whose network memorized the latents of 24 photographs, and these."""
    pixels = np.stack([larger(tile) for tile in tiles[:24]])
    denoiser = exact(opened, Memorizing)
    x0 = denoiser.encode(torch.from_numpy(pixels).permute(0, 3, 1, 2))
    x0 = (x0 - x0.mean()) / x0.std()
    denoiser.backbone.network.latents = x0
    return denoiser, x0


def larger(tile: Image) -> Image:
    """A tile of 16 px at 32."""
    return np.repeat(np.repeat(tile, 2, 0), 2, 1)


def test_a_memorizer_passes_the_self_check(memorizer: tuple[LatentDenoiser, Tensor]) -> None:
    denoiser, x0 = memorizer
    assert self_check(denoiser, x0).images == len(x0)


def test_every_planted_misreading_is_refused(memorizer: tuple[LatentDenoiser, Tensor]) -> None:
    denoiser, x0 = memorizer
    planted = dict(denoiser.misreadings())
    passed = [name for name, wrong in planted.items() if not refused(wrong, x0)]
    assert not passed


@pytest.mark.parametrize(("factor", "shift"), [(5.0, 0.0), (0.2, 0.0), (1.0, 2.0)])
def test_a_wrong_scale_or_shift_of_the_latents_is_refused(
    memorizer: tuple[LatentDenoiser, Tensor], factor: float, shift: float
) -> None:
    denoiser, x0 = memorizer
    assert refused(denoiser, (x0 - shift) * factor)


@pytest.mark.parametrize(
    "opened", ["Flux2Pipeline", "Flux2KleinPipeline", "QwenImagePipeline"], indirect=True
)
def test_a_wrong_deviation_of_each_channel_is_refused(
    memorizer: tuple[LatentDenoiser, Tensor],
) -> None:
    denoiser, x0 = memorizer
    gains = torch.linspace(0.3, 3.0, x0.shape[1]).view(-1, 1, 1)
    assert refused(denoiser, x0 * gains)


def refused(denoiser: Any, x0: Tensor) -> bool:
    try:
        self_check(denoiser, x0)
    except MisreadModelError:
        return True
    return False

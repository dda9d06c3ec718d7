"""Laws that hold for every attack: the built-in ones, and the one that the documentation shows.

All of BUILT_IN are held to them; an attack of another package takes a line in ATTACKS.
"""

import math
import re
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from noisy_models import memorizer, write
from plugging import install
from torch import Tensor

from memaudit.attacks.base import Attack, Bench, Grid, Pass, Shard
from memaudit.attacks.passes import pooled
from memaudit.attacks.posterior import PASS_BACK
from memaudit.attacks.registry import BUILT_IN, load_attack
from memaudit.audit import scan
from memaudit.audit.bench import open_parts
from memaudit.audit.pool import Candidates
from memaudit.audit.prepare import prepare
from memaudit.audit.spec import BenchSpec
from memaudit.config import MEMBERSHIP, AttackConfig, Restoration, ScanConfig
from memaudit.data import image_id
from memaudit.errors import ConfigError, ModelError
from memaudit.models.closed_form import ClosedForm
from memaudit.progress import silent
from memaudit.records import FULL, KEYS
from memaudit.run.directory import RunDirectory
from memaudit.run.store import Folder
from memaudit.statistics.combine import combine
from memaudit.statistics.effects import auc

MEMBERS = 8
CONFIG = AttackConfig(steps=3, corruptions=("noise", "mask-half"), restoration=Restoration(steps=6))
LEVELS = {"strong": (1.0, 3.0), "weak": (0.1, 0.3), "hidden": (0.75, 0.9375)}
# SecMI alone finds no error in some strangers of a perfect memorizer: along a straight path, which
# it takes where the model answers with one and the same image, every step leads back exactly.
MISSES = ("secmi",)
NO_ERROR = 20 * math.log10(1 / 255)  # dB


def documented() -> types.ModuleType:
    """The module of the attack that docs/attacks.md shows."""
    text = (Path(__file__).parents[2] / "docs/attacks.md").read_text(encoding="utf-8")
    [source] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    module = types.ModuleType("documented_attack")
    sys.modules[module.__name__] = module  # dataclasses look their module up
    exec(source, module.__dict__)
    return module


ATTACKS: dict[str, Callable[[AttackConfig], Attack]] = {
    **{name: (lambda config, name=name: load_attack(name, config)) for name in BUILT_IN},
    "median-error": lambda config: documented().median_error(config),
}


def hides(name: str) -> bool:
    return ATTACKS[name](CONFIG).noise == "hidden"


every_attack = pytest.mark.parametrize("name", ATTACKS)


@dataclass
class Counting:
    """A model that counts the images it is asked about, and the calls that keep gradients.

    A pass back through it counts as two. It cannot be told what is seen.
    """

    model: ClosedForm
    asked: int = 0
    with_gradients: int = 0

    def denoise(self, x: Tensor, sigma: Tensor, prompts: object = ()) -> Tensor:  # noqa: ARG002
        self.asked += len(x)
        self.with_gradients += not torch.is_inference_mode_enabled()
        x0 = self.model.denoise(x, sigma)
        if x0.requires_grad:
            x0.register_hook(self._passed_back)
        return x0

    def _passed_back(self, gradient: Tensor) -> None:
        self.asked += PASS_BACK * len(gradient)

    def given(self, seen: object) -> None:  # noqa: ARG002
        return None

    @property
    def unclipped(self) -> "Counting":
        return self

    def __getattr__(self, name: str) -> object:
        return getattr(self.model, name)


class Overflowing(Counting):
    """A model whose answers are finite for the first image of a batch only."""

    def denoise(self, x: Tensor, sigma: Tensor, prompts: object = ()) -> Tensor:
        x0 = super().denoise(x, sigma, prompts)
        x0[1:] = torch.inf
        return x0


@pytest.fixture(scope="module")
def made(tiles, tmp_path_factory) -> tuple[Bench, Candidates]:
    """A bench around the perfect memorizer of 8 members, among 24 others."""
    folder = tmp_path_factory.mktemp("attacks")
    config = ScanConfig(
        model=f"closed-form:{folder / 'members'}",
        dataset=str(folder / "members"),
        controls=str(folder / "controls"),
        out=str(folder / "run"),
        embedder="pixels",
        index=str(folder / "index"),
    )
    for side, images in (("members", tiles[:MEMBERS]), ("controls", tiles[MEMBERS:32])):
        save(folder / side, images)
    spec = BenchSpec(config.data, config.target, config.attack, config.execution)
    (folder / "run").mkdir()
    run = RunDirectory(Folder(folder / "run"))
    ready = prepare(spec, open_parts(spec), run, config.digest, silent)
    return ready.bench, ready.pool.candidates


def save(folder: Path, images) -> None:
    from PIL import Image as PillowImage

    folder.mkdir()
    for k, image in enumerate(images):
        PillowImage.fromarray(image).save(folder / f"{k:03d}.png")


def asked(attack: Attack) -> Pass:
    return Pass(attack, FULL, Grid(LEVELS[attack.noise]), draws=2)


def rows(name: str, made: tuple[Bench, Candidates], ids=None, **changes) -> pd.DataFrame:
    bench, candidates = made
    attack = ATTACKS[name](CONFIG)
    how = asked(attack)
    examples = candidates.read(candidates.ids if ids is None else ids).examples
    bench = replace(bench, **changes)
    table = attack.run(bench, Shard.of(bench, examples), how)
    return table.assign(attack=attack.name, phase=FULL).set_index(list(KEYS)).sort_index()


@every_attack
def test_rows_do_not_depend_on_the_batch(name, made):
    one, other = (rows(name, made, batch_size=size) for size in (1, 7))
    pd.testing.assert_frame_equal(one, other, rtol=1e-4, atol=1e-4)


@every_attack
def test_rows_do_not_depend_on_the_other_images_of_a_shard(name, made):
    ids = made[1].ids
    whole = rows(name, made)
    pieces = pd.concat([rows(name, made, ids=ids[start : start + 5]) for start in range(0, 32, 5)])
    pd.testing.assert_frame_equal(whole, pieces.sort_index(), rtol=1e-4, atol=1e-4)


@every_attack
def test_the_cost_is_what_is_counted(name, made):
    model = Counting(made[0].denoiser)
    table = rows(name, made, denoiser=model)
    attack = ATTACKS[name](CONFIG)
    cost = asked(attack).cost
    assert model.asked == len(made[1].ids) * cost.evaluations
    assert len(table) == len(made[1].ids) * cost.rows


@pytest.mark.parametrize("name", [name for name in ATTACKS if not hides(name)])
def test_the_model_is_asked_without_gradients(name, made):
    model = Counting(made[0].denoiser)
    rows(name, made, ids=made[1].ids[:2], denoiser=model)
    assert model.asked
    assert not model.with_gradients


@every_attack
def test_answers_that_are_not_finite_are_refused_and_the_attack_is_named(name, made):
    model = Overflowing(made[0].denoiser)
    low, high = LEVELS[ATTACKS[name](CONFIG).noise]
    where = f"where {low:g} is hidden" if hides(name) else f"at sigma {low:g} .. {high:g}"
    said = f"not finite {where}, attack {name}"
    with pytest.raises(ModelError, match=re.escape(said)):
        rows(name, made, ids=made[1].ids[:2], denoiser=model)


@every_attack
def test_rows_have_the_keys_and_the_columns_that_the_attack_names(name, made):
    table = rows(name, made)
    known = {column.name for column in ATTACKS[name](CONFIG).columns}
    assert table.index.is_unique
    assert set(table.columns) - {"snr_db"} <= known
    assert set(ATTACKS[name](CONFIG).primary) <= set(table.columns)
    assert all(column.help for column in ATTACKS[name](CONFIG).columns)


@every_attack
def test_a_memorizer_s_images_stand_above_strangers(name, made, tiles):
    table = rows(name, made).reset_index()
    score = combine(table, pooled(ATTACKS[name](CONFIG)))
    memorized = {image_id(tile) for tile in tiles[:MEMBERS]}
    members = score[[one in memorized for one in score.index]].to_numpy()
    others = score[[one not in memorized for one in score.index]].to_numpy()
    if name in MISSES:
        kept = table.loc[table["example_id"].isin(memorized), name]
        assert kept.to_numpy() == pytest.approx(NO_ERROR, abs=0.01)
    else:
        assert auc(members, others) > 0.95


def test_the_documented_attack_runs_in_a_scan_and_has_no_part_in_the_verdict(
    tiles, tmp_path, monkeypatch
):
    documented()
    install(tmp_path, "memaudit.attacks", "median-error", "documented_attack:median_error")
    monkeypatch.syspath_prepend(str(tmp_path))
    save(tmp_path / "members", tiles[:MEMBERS])
    save(tmp_path / "controls", tiles[MEMBERS:60])
    asked = {
        "model": f"closed-form:{tmp_path / 'members'}",
        "dataset": str(tmp_path / "members"),
        "controls": str(tmp_path / "controls"),
        "embedder": "pixels",
        "levels": 2,
        "draws": 1,
        "steps": 3,
        "images": 0,
    }
    plain = scan(ScanConfig(**asked, out=str(tmp_path / "plain")))
    named = (MEMBERSHIP, "median-error")
    both = scan(ScanConfig(**asked, out=str(tmp_path / "both"), attacks=named))
    assert both.summary.verdict == plain.summary.verdict
    pd.testing.assert_frame_equal(both.findings, plain.findings)
    levels = [level for level in both.summary.levels if level.attack == "median-error"]
    assert [level.auc > 0.9 for level in levels] == [True, True]
    assert {level.own_similarity_members for level in levels} == {None}
    assert torch.isfinite(torch.tensor([level.share_above for level in levels])).all()


def test_an_attack_without_columns_of_copies_runs_on_a_model_of_noisy_copies(
    tiles, tmp_path, monkeypatch
):
    documented()
    install(tmp_path, "memaudit.attacks", "median-error", "documented_attack:median_error")
    monkeypatch.syspath_prepend(str(tmp_path))
    write(tmp_path / "model", tiles[:MEMBERS])
    save(tmp_path / "members", tiles[:MEMBERS])
    save(tmp_path / "controls", tiles[MEMBERS:60])
    config = ScanConfig(
        model="memorizer of copies",
        dataset=str(tmp_path / "members"),
        controls=str(tmp_path / "controls"),
        out=str(tmp_path / "run"),
        embedder="pixels",
        sigma=(1.5,),
        draws=1,
        steps=3,
        images=0,
        power=False,
        attacks=("median-error",),
    )
    result = scan(config, loaded=memorizer(tiles[:MEMBERS], tmp_path / "model"))
    asked = [level.input for level in result.summary.levels if level.attack == "median-error"]
    assert sorted(asked) == ["clean image", "noisy copy"]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("a", "a"), "--attacks names an attack twice: a, a"),
        (("reconstruction-ode",), "reconstruction-ode is asked for by --reconstruct ode"),
        (("reconstruction-one-step",), "is asked for by --reconstruct one-step"),
        (("restoration-blur",), "is asked for by --corruption blur"),
    ],
)
def test_an_attack_that_would_run_twice_is_refused(names, said):
    with pytest.raises(ConfigError, match=said):
        AttackConfig(attacks=names)

"""Images of the model's own beside the scan."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from runs import ask, written_at

from memaudit.audit import scan
from memaudit.audit.plan import estimate
from memaudit.models.closed_form import ClosedForm
from memaudit.models.codec import encode_pixels
from memaudit.models.loaded import Loaded
from memaudit.models.provenance import Provenance


@pytest.fixture
def config(sides, tmp_path):
    return ask(
        sides.members,
        tmp_path / "run",
        controls=sides.controls,
        generate=30,
        shard_size=20,
        power=False,
    )


def test_generating_changes_no_finding_and_continues_a_finished_scan(config):
    before = scan(replace(config, generate=0))
    after = scan(config)
    assert before.quality is None
    assert after.quality is not None
    assert after.findings.equals(before.findings)
    assert config.digest == replace(config, generate=0).digest


def test_scan_json_holds_the_quality(config, tmp_path):
    quality = scan(config).quality
    held = json.loads((tmp_path / "run" / "scan.json").read_text())["quality"]
    assert (held["samples"], held["n"], held["steps"], held["sampler"]) == (30, 30, 50, "euler")
    assert held["frechet"] == quality.frechet > 0
    assert "Frechet distance" in (tmp_path / "run" / "summary.txt").read_text()


def test_the_images_are_a_function_of_the_seed_whatever_the_batch(config, tmp_path):
    first = scan(config).quality
    again = replace(config, out=str(tmp_path / "again"), batch_size=7)
    other = replace(config, out=str(tmp_path / "other"), seed=1)
    assert scan(again).quality.frechet == pytest.approx(first.frechet, rel=1e-4)
    assert scan(other).quality.kid != pytest.approx(first.kid, rel=1e-2)


def test_parts_that_are_there_are_kept_and_one_that_is_too_short_is_made_again(config, tmp_path):
    parts = tmp_path / "run" / "generated"
    scan(config)
    before = written_at(parts)
    more = scan(replace(config, generate=50)).quality
    after = written_at(parts)
    assert after["part-00000.parquet"] == before["part-00000.parquet"]
    assert after["part-00001.parquet"] > before["part-00001.parquet"]
    assert sorted(after) == [f"part-0000{k}.parquet" for k in range(3)]
    whole = scan(replace(config, generate=50, out=str(tmp_path / "whole"))).quality
    assert (more.samples, more.n) == (50, 40)  # there are 40 controls
    assert more.frechet == pytest.approx(whole.frechet, rel=1e-4)


def test_the_perfect_memorizer_generates_its_images(config, tiles):
    controls = torch.from_numpy(np.stack(tiles[15:55])).permute(0, 3, 1, 2)
    copies = Loaded(ClosedForm(encode_pixels(controls, 3)), Provenance("of the controls"))
    copying = scan(replace(config, out=config.execution.out + "-controls"), loaded=copies).quality
    learned = scan(config).quality
    assert copying.precision == 1 > learned.precision
    assert copying.frechet < learned.frechet


def test_sampling_stops_at_the_lowest_noise_that_the_model_knows(config, tiles):
    images = encode_pixels(torch.from_numpy(np.stack(tiles[:15])).permute(0, 3, 1, 2), 3)
    asked = []

    class Ambient(ClosedForm):
        def denoise(self, x, sigma, prompts=()):
            asked.append(float(sigma.min()))
            return super().denoise(x, sigma, prompts)

    quality = scan(config, loaded=Loaded(Ambient(images, sigma_min=0.5), Provenance())).quality
    assert min(asked) == pytest.approx(0.5)
    assert quality.sigma_min == 0.5


def test_too_few_images_leave_a_reason_in_place_of_numbers(config, tmp_path):
    quality = scan(replace(config, generate=5)).quality
    assert quality.frechet is None
    assert "found 5 generated images" in quality.reason
    assert "not measured: found 5" in (tmp_path / "run" / "summary.txt").read_text()


def test_without_controls_there_is_nothing_to_compare_generated_images_with(config):
    quality = scan(replace(config, controls=None, steps=1)).quality
    assert quality.n == 0
    assert "found 30 generated images and 0 controls" in quality.reason


def test_a_plan_counts_the_images_to_generate(config):
    without, planned = estimate(replace(config, generate=0)), estimate(config)
    assert planned.evaluations == without.evaluations + 30 * 50
    assert planned.embeddings == without.embeddings + 30

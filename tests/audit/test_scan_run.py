import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from diffusers import DDPMScheduler
from PIL import Image as PillowImage
from runs import ask, assert_same_findings, assert_same_scores, written_at
from safetensors.torch import load_file, save_file

from memaudit.audit import scan
from memaudit.audit.plan import estimate
from memaudit.config import Noise
from memaudit.errors import ConfigError, ModelError, RunDirectoryError
from memaudit.run.directory import RunDirectory


@pytest.fixture
def out(tmp_path):
    return tmp_path / "run"


@pytest.fixture
def config(sides, out):
    return ask(sides.members, out, controls=sides.controls, images=3, shard_size=20, power=False)


def test_run_json_is_written_first_and_scan_json_last(config, out):
    scan(config)
    written = written_at(out)
    written.pop(".lock")
    assert sorted(written, key=written.get)[0] == "run.json"
    assert sorted(written, key=written.get)[-1] == "scan.json"
    parts = [f"scores/part-{k:05d}.parquet" for k in range(3)]
    assert {name for name in written if name.startswith("scores")} == set(parts)
    results = {"findings.parquet", "findings.csv", "errors.csv"}
    assert results <= written.keys()
    assert not any(name.endswith(".tmp") for name in written)


def test_scan_json_says_what_was_found_and_from_what(config, out):
    config = replace(config, power=True)
    result = scan(config)
    report = json.loads((out / "scan.json").read_text())
    assert report == json.loads(json.dumps(result.report()))
    assert report.keys() == {
        *("format", "verdict", "config", "prepared", "summary", "quality", "environment"),
        "calibrations",
    }
    assert report["verdict"].keys() == {"claim", "outcome", "sentence", "reasons", "exit_code"}
    assert report["verdict"] == report["summary"]["verdict"]
    assert report["config"].keys() == {"data", "target", "attack", "calibration", "execution"}
    assert report["summary"].keys() == {
        *("attack", "columns", "counts", "flagged", "claims", "dataset", "levels", "literature"),
        *("conduct", "verdict", "exchangeability", "inference", "explored"),
    }
    assert report["summary"]["conduct"].keys() == {
        *("unread", "self_checked", "power", "detectable", "effort", "noisy", "reference"),
    }
    prepared = report["prepared"]
    assert prepared.keys() == {
        *("format", "question", "data", "model", "embedder", "levels", "primary", "columns"),
        *(
            "others",
            "shard_size",
            "device",
            "captions",
            "copies",
            "reference",
            "self_check",
            "boxes",
        ),
        "membership",
    }
    assert prepared["question"] == config.settled(55).digest
    assert prepared["data"].keys() == {
        *("fingerprint", "entries", "resolution", "read", "failed", "index", "index_reused"),
        *("captions", "lost", "changed"),
    }
    assert report["environment"].keys() == {
        *("memaudit", "commit", "python", "platform", "packages", "command", "threads"),
        "finished",
    }
    assert RunDirectory.at(out).record() == result.record


def test_a_finished_scan_called_again_scores_nothing_and_finds_the_same(config, out):
    first = scan(config)
    before = written_at(out / "scores")
    second = scan(config)
    assert written_at(out / "scores") == before
    assert second.findings.equals(first.findings)
    assert second.summary == first.summary


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 1}, "--seed was 0, now 1"),
        ({"steps": 5}, "--steps was 4, now 5"),
        ({"noise": Noise(levels=3, draws=1)}, "--levels was 2, now 3"),
        ({"embedder": "sscd-distilled"}, "--embedder was pixels, now sscd-distilled"),
        ({"controls": None}, "--controls was .*controls, now not given"),
        ({"reconstruct": ("ode", "sample")}, "--reconstruct was ode, now ode,sample"),
        ({"resize": "pad"}, "--resize was center-crop, now pad"),
        ({"sample": 10}, "--sample was not given, now 10"),
        ({"duplicate_threshold": 1.1}, "--duplicate-threshold was not given, now 1.1"),
        ({"resolution": 8}, "--resolution was not given, now 8"),
        ({"corruption": ("noise", "mask-half")}, "--corruption was noise, now noise,mask-half"),
        ({"score": ("margin",)}, "score was .*, now margin"),
    ],
)
def test_a_run_of_other_arguments_is_refused_and_the_difference_named(config, change, named):
    scan(config)
    with pytest.raises(RunDirectoryError, match=named):
        scan(replace(config, **change))


def test_a_run_of_other_data_is_refused(config, sides):
    scan(config)
    (sides.controls / "000.png").unlink()
    with pytest.raises(RunDirectoryError, match="the data changed"):
        scan(config)


def test_a_run_of_another_model_of_the_same_name_is_refused(config, sides):
    config = replace(config, model=f"closed-form:{sides.others}")
    scan(config)
    (sides.others / "000.png").unlink()
    with pytest.raises(RunDirectoryError, match="images was 25, now 24"):
        scan(config)


def test_the_batch_size_and_the_place_of_the_index_may_change(config, tmp_path):
    first = scan(config)
    (tmp_path / "run" / "scores" / "part-00001.parquet").unlink()
    second = scan(replace(config, batch_size=3, index=str(tmp_path / "index")))
    assert_same_findings(second.findings, first.findings)


def test_a_finished_scan_asked_with_another_q_is_calibrated_anew_and_scores_nothing(config, out):
    first = scan(config)
    before = {work: written_at(out / work) for work in ("scores", "power")}
    asked = replace(config, q=0.001)
    second = scan(asked)
    assert {work: written_at(out / work) for work in before} == before
    flagged = first.summary.flagged.groups
    assert flagged > second.summary.flagged.groups == 0
    assert second.scores.equals(first.scores)
    fresh = scan(replace(asked, out=str(out) + "-fresh"))
    assert second.findings.equals(fresh.findings)
    assert second.summary == fresh.summary
    calibrations = [(one.q, one.flagged) for one in RunDirectory.at(out).record().calibrations]
    assert calibrations == [(0.05, flagged), (0.001, 0)]
    assert not list((out / "images").glob("*.png"))


def test_a_scan_continues_without_its_power_check_and_with_it_again(config, out):
    first = scan(config)
    without = scan(replace(config, power=False))
    assert without.summary.conduct.power is None
    assert without.scores.equals(first.scores)
    before = written_at(out / "power")
    again = scan(config)
    assert written_at(out / "power") == before
    assert again.summary == first.summary


@pytest.mark.parametrize(
    "change",
    [
        {"device": "auto"},
        {"images": 0},
        {"shard_size": 7},
        {"self_check": False},
        {"local_files_only": True},
        {"generate": 4},
        {"power": False},
        {"q": 0.2},
    ],
)
def test_an_unfinished_scan_goes_on_however_it_is_carried_out(config, out, change):
    def stop(stage, done, _):
        if (stage, done) == ("scan", 40):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan(config, stop)
    before = written_at(out / "scores")
    assert len(before) == 2
    result = scan(replace(config, **change))
    after = written_at(out / "scores")
    assert before.items() <= after.items()
    assert len(after) == 3
    assert result.prepared.shard_size == 20
    expected = scan(replace(config, out=str(out) + "-whole"))
    assert_same_scores(result.scores, expected.scores)


def test_parquet_and_csv_hold_the_findings(config, out):
    findings = scan(config).findings
    assert pd.read_parquet(out / "findings.parquet").equals(findings)
    text = dict.fromkeys(findings.select_dtypes(["object", "string"]), str)
    csv = pd.read_csv(
        out / "findings.csv",
        dtype=text,
        keep_default_na=False,
        na_values={name: [""] for name in findings.select_dtypes("number")},
    )
    assert csv.columns.equals(findings.columns)
    for name in findings:
        if name in text:
            assert csv[name].to_list() == findings[name].to_list()
        else:
            np.testing.assert_allclose(csv[name], findings[name], rtol=1e-5)


def test_strips_show_the_flagged_with_the_highest_scores(config, sides, out):
    result = scan(config)
    strips = sorted((out / "images").iterdir())
    ids = result.findings.loc[result.findings["flagged"], "example_id"][:3]
    assert [strip.stem for strip in strips] == [
        f"{rank:04d}-{example_id[:12]}" for rank, example_id in enumerate(ids, 1)
    ]
    for strip, source in zip(strips, result.findings["source"], strict=False):
        with PillowImage.open(strip) as picture:
            pixels = np.array(picture)
        assert pixels.shape == (128, 4 * 128 + 3 * 4, 3)
        original, corrupted, reconstruction, other = (
            pixels[::8, start : start + 128 : 8] for start in range(0, 4 * 132, 132)
        )
        with PillowImage.open(sides.members / source) as picture:
            assert np.array_equal(original, picture)
        assert np.array_equal(reconstruction, original)
        assert not np.array_equal(corrupted, original)
        assert not np.array_equal(other, original)


def test_without_flagged_images_there_are_no_strips(config, sides, out):
    scan(replace(config, model=f"closed-form:{sides.others}"))
    assert not (out / "images").exists()


@pytest.mark.parametrize("option", ["out", "index"])
def test_nothing_is_written_among_the_images(config, sides, option):
    for folder in (sides.members, sides.controls / "below"):
        with pytest.raises(ConfigError, match=f"--{option} .* lies inside the data set"):
            scan(replace(config, **{option: str(folder)}))
    assert len(list(sides.members.iterdir())) == 15


@pytest.mark.parametrize("begin", [scan, estimate], ids=["scan", "plan"])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"attacks": ("no-such",)}, "There is no attack 'no-such'"),
        ({"score": ("no_such",)}, "has no column no_such"),
    ],
)
def test_an_unknown_attack_or_column_is_refused_before_anything_is_opened(
    config, out, begin, change, said
):
    with pytest.raises(ConfigError, match=said):
        begin(replace(config, model=str(out.parent / "absent"), **change))
    assert not out.exists()


def test_a_model_that_overflows_is_no_clean_verdict(config, unet, tmp_path):
    folder = tmp_path / "overflowing"
    folder.mkdir()
    for path in unet.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    DDPMScheduler(clip_sample=False).save_config(folder)
    weights = load_file(unet / "diffusion_pytorch_model.safetensors")
    weights["conv_out.weight"] = weights["conv_out.weight"] * 3e38
    save_file(weights, folder / "diffusion_pytorch_model.safetensors")
    with pytest.raises(ModelError, match="not finite at sigma"):
        scan(replace(config, model=str(folder), self_check=False))


def test_a_scan_that_goes_on_writes_a_changed_record_anew(config, out, caplog):
    found = scan(config).record.verdict
    report = json.loads((out / "scan.json").read_text())
    (out / "scan.json").write_text(json.dumps({**report, "quality": {}, "calibrations": []}))
    with pytest.raises(RunDirectoryError, match="cannot be read: quality"):
        RunDirectory.at(out).record()
    (out / "scan.json").write_text(json.dumps({**report, "calibrations": []}))
    with pytest.raises(RunDirectoryError, match=r"scan\.json was changed after its scan"):
        RunDirectory.at(out).record()
    scan(config)
    assert RunDirectory.at(out).record().verdict == found
    assert "how it was calibrated before is not kept" in caplog.text

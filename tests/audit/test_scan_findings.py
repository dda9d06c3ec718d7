import numpy as np
import pytest
from runs import ask

from memaudit.audit import scan
from memaudit.config import Noise
from memaudit.statistics.verdict import Outcome


@pytest.fixture
def findings_of_memorizer(sides, tmp_path):
    one = Noise(levels=1, draws=2)
    fields = {"controls": sides.controls, "noise": one, "power": False}
    return scan(ask(sides.members, tmp_path / "run", **fields)).findings


def sources(folder):
    return sorted(path.name for path in folder.iterdir())


def test_every_image_of_both_sides_is_one_row(findings_of_memorizer, sides):
    rows = findings_of_memorizer.groupby("split")["source"].agg(sorted)
    assert rows.to_dict() == {
        "member": sources(sides.members),
        "control": sources(sides.controls),
    }


def test_images_in_the_perfect_memorizer_are_flagged_and_come_first(findings_of_memorizer):
    assert findings_of_memorizer["flagged"].to_list() == [True] * 15 + [False] * 40
    assert (findings_of_memorizer["split"] == ["member"] * 15 + ["control"] * 40).all()
    flagged = findings_of_memorizer[:15]
    assert (flagged["own_rank"] == 1).all()
    assert (flagged["claim"] == "reproduction").all()
    assert flagged["score"].is_monotonic_decreasing


def test_controls_have_a_score_and_no_p_value(findings_of_memorizer):
    controls = findings_of_memorizer[findings_of_memorizer["split"] == "control"]
    assert controls["score"].notna().all()
    assert controls[["p_value", "q_value", "recovered_from_snr_db"]].isna().all(axis=None)
    assert (controls["claim"] == "").all()


def test_scores_hold_every_level_and_draw_of_every_image(sides, tmp_path):
    noise = Noise(levels=3, draws=2)
    config = ask(sides.members, tmp_path / "run", controls=sides.controls, noise=noise)
    result = scan(config)
    rows = result.scores.groupby("example_id")[["level", "draw"]].apply(
        lambda group: sorted(group.itertuples(index=False, name=None))
    )
    wanted = [(sigma, k) for sigma in result.prepared.levels.sigmas for k in (0, 1)]
    assert len(wanted) == 6
    assert len(rows) == 55
    assert all(found == wanted for found in rows)


def test_evidence_ends_in_exit_code_0(sides, tmp_path):
    result = scan(ask(sides.members, tmp_path / "run", controls=sides.controls))
    assert result.summary.verdict.outcome is Outcome.EVIDENCE
    assert result.exit_code == 0


def test_a_memorizer_of_other_images_is_not_accused(sides, tmp_path):
    config = ask(
        sides.members,
        tmp_path / "run",
        model=f"closed-form:{sides.others}",
        controls=sides.controls,
        tolerated_count=15,
    )
    result = scan(config)
    assert not result.findings["flagged"].any()
    assert result.summary.verdict.outcome is Outcome.NONE
    assert result.exit_code == 0


def test_without_controls_nothing_is_flagged_and_the_verdict_is_open(sides, tmp_path):
    result = scan(ask(sides.members, tmp_path / "run"))
    assert len(result.findings) == 15
    assert not result.findings["flagged"].any()
    assert (result.findings["reason"] == "no controls").all()
    assert result.findings["score"].notna().all()
    assert result.summary.verdict.outcome is Outcome.INCONCLUSIVE
    assert "no controls" in result.summary.verdict.sentence
    assert result.exit_code == 4


def test_too_few_controls_leave_the_verdict_open(sides, tmp_path):
    for path in sorted(sides.controls.iterdir())[38:]:
        path.unlink()
    result = scan(ask(sides.members, tmp_path / "run", controls=sides.controls))
    assert result.exit_code == 4
    assert "too few controls: with 38" in result.summary.verdict.sentence


def test_a_model_that_saw_neither_side_scores_images_alike_whichever_side_they_stand_on(
    tiles, write_folder, tmp_path
):
    left, right = write_folder("left", tiles[:30]), write_folder("right", tiles[30:60])
    model = f"closed-form:{write_folder('seen', tiles[60:])}"
    both = []
    for dataset, controls in ((left, right), (right, left)):
        out = tmp_path / f"members-{dataset.name}"
        result = scan(ask(dataset, out, model=model, controls=controls))
        both.append(result.findings.set_index("example_id").sort_index())
    blind = [
        *("score", "own_similarity", "own_rank", "nearest_other_similarity", "margin"),
        *("psnr", "ssim", "l2", "tile_l2"),
    ]
    assert (both[0]["split"] != both[1]["split"]).all()
    np.testing.assert_allclose(both[0][blind], both[1][blind], rtol=1e-4, atol=1e-4)
    assert both[0]["nearest_other"].equals(both[1]["nearest_other"])


def test_a_scan_repeated_from_nothing_finds_the_same(sides, tmp_path):
    results = []
    for name in ("one", "two"):
        index = tmp_path / f"index-{name}"
        config = ask(sides.members, tmp_path / name, controls=sides.controls, index=index)
        results.append(scan(config))
    assert results[0].findings.equals(results[1].findings)
    assert results[0].scores.equals(results[1].scores)


def test_another_seed_draws_other_noise(sides, tmp_path):
    one, two = (
        scan(ask(sides.members, tmp_path / str(seed), controls=sides.controls, seed=seed)).findings
        for seed in (0, 1)
    )
    one, two = (table.set_index(["split", "source"]).sort_index() for table in (one, two))
    assert one["example_id"].equals(two["example_id"])
    assert (one["psnr"] != two["psnr"]).mean() > 0.5

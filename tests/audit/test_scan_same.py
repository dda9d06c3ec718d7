"""What must not change a scan's findings."""

import faiss
import pytest
import torch
from runs import ask, assert_same_findings, assert_same_scores

from memaudit.audit import scan
from memaudit.config import Noise


@pytest.fixture(params=["closed form", "unet"])
def asked(request, sides, unet):
    """How to ask for a scan of each kind of model, with all reconstructions."""
    fields = {"controls": sides.controls, "reconstruct": ("ode", "one-step", "sample")}
    fields |= {"steps": 2, "power": False}
    if request.param == "unet":
        fields |= {"model": unet, "self_check": False}

    def ask_for(out, **changes):
        return ask(sides.members, out, **{**fields, **changes})

    return ask_for


@pytest.mark.slow
def test_batches_and_shards_do_not_change_the_findings(asked, tmp_path):
    expected = scan(asked(tmp_path / "expected", batch_size=7, shard_size=64))
    for batch_size, shard_size in ((1, 64), (32, 1)):
        out = tmp_path / f"{batch_size}-{shard_size}"
        found = scan(asked(out, batch_size=batch_size, shard_size=shard_size))
        assert len(list((out / "scores").iterdir())) == -(-55 // shard_size)
        assert_same_findings(found.findings, expected.findings)
        assert_same_scores(found.scores, expected.scores)


def test_threads_do_not_change_the_findings(asked, tmp_path):
    threads = torch.get_num_threads()
    results = []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            faiss.omp_set_num_threads(number)
            index = tmp_path / f"index-{number}"
            few = {"reconstruct": ("sample",), "noise": Noise(levels=1, draws=1)}
            results.append(scan(asked(tmp_path / f"run-{number}", index=index, **few)))
    finally:
        torch.set_num_threads(threads)
        faiss.omp_set_num_threads(threads)
    assert_same_findings(results[0].findings, results[1].findings)
    assert_same_scores(results[0].scores, results[1].scores)


def test_names_and_order_of_files_do_not_change_the_numbers(asked, sides, tmp_path):
    expected = scan(asked(tmp_path / "before")).findings
    for folder in (sides.members, sides.controls):
        for k, path in enumerate(sorted(folder.iterdir())):
            path.rename(folder / f"renamed-{(7 * k) % 41:02d}.png")
    found = scan(asked(tmp_path / "after")).findings
    assert set(found["source"]).isdisjoint(expected["source"])
    assert_same_findings(found, expected, by=("split", "example_id"))

"""Which of what a checkpoint holds are weights, and what the rest is called."""

import re
from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import nn

from memaudit.convert.containers import find, left_out, take
from memaudit.errors import ModelError


def weights(count: int = 3) -> OrderedDict[str, torch.Tensor]:
    return OrderedDict((f"layer.{k}", torch.ones(2)) for k in range(count))


def optimizer() -> dict[str, Any]:
    network = nn.Linear(2, 2)
    made = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 2)).sum().backward()
    made.step()
    return dict(made.state_dict())


def names(content: dict[Any, Any]) -> list[str]:
    return [one.name for one in find(content)]


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (weights(), ""),
        *(({key: weights()}, key) for key in ("state_dict", "model", "module", "ema", "net")),
        *(({key: weights()}, key) for key in ("model_ema", "ema_state_dict", "params", "unet")),
        ({"checkpoint": {"model": {"module": weights()}}}, "checkpoint.model.module"),
        ({"state_dict": weights(), "optimizer_states": [optimizer()], "epoch": 3}, "state_dict"),
        ({"model": weights(), "opt": optimizer(), "step": 7}, "model"),
        ({"model": weights(), "optimizer": {"layer": {"exp_avg": torch.ones(2)}}}, "model"),
        ({"model": weights(), "rng_state": torch.zeros(5, dtype=torch.uint8)}, "model"),
        ({"net": weights(1), "a": torch.ones(1), "b": torch.ones(1), "c": torch.ones(1)}, "net"),
        ({"generator": weights(), "rng": torch.zeros(5)}, "generator"),
        ({**weights(), "attention._extra_state": {"scale": torch.ones(1)}}, ""),
        ({"model": weights(), "ema": {"decay": 0.9, "shadow_params": [torch.ones(2)]}}, "model"),
    ],
)
def test_the_one_set_of_weights_is_found(content, name):
    [found] = find(content)
    assert found.name == name
    assert all(key.startswith("layer.") for key in found.tensors if "_extra_state" not in key)
    assert take([found], None) is found


def test_several_sets_of_weights_are_listed_with_their_sizes():
    found = find({"model": weights(3), "ema": weights(3), "epoch": 4})
    said = r"2 sets of weights: model \(3 tensors, 6 numbers\); ema \(3 .*--take ema"
    with pytest.raises(ModelError, match=said):
        take(found, None)
    assert take(found, "ema").path == ("ema",)


def test_a_set_of_weights_is_taken_by_the_keys_that_lead_to_it():
    found = find({"state": {"model": weights(), "ema": weights()}, "teacher": {"net": weights()}})
    assert take(found, "state.ema").path == ("state", "ema")
    assert take(found, "teacher").path == ("teacher", "net")
    for key, said in (("state", "several sets"), ("model", "no set"), ("state.", "no set")):
        with pytest.raises(ModelError, match=f"{said} of weights under {re.escape(key)}; found"):
            take(found, key)


def test_a_key_is_refused_where_there_is_nothing_to_choose():
    with pytest.raises(ModelError, match="not under any key: leave out --take ema"):
        take(find(weights()), "ema")


def test_the_list_of_many_sets_is_cut():
    with pytest.raises(ModelError, match=r"20 sets of weights: .*; and 12 more; say which"):
        take(find({f"part{k}": weights() for k in range(20)}), None)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (torch.ones(3), "a tensor"),
        ([torch.ones(3)], "1 tensors without names"),
        ((weights(), 3), "a list of 2"),
        (None, "nothing"),
        (4, "a number"),
        ("text", "text"),
        (torch.float32, "a dtype"),
    ],
)
def test_what_has_no_names_is_refused_by_what_it_is(content, found):
    with pytest.raises(ModelError, match=f"holds {found}, expected tensors by their names"):
        find(content)


@pytest.mark.parametrize(
    "content", [{}, {"epoch": 3}, {"state_dict": {}}, {0: torch.ones(1)}, {"opt": optimizer()}]
)
def test_where_no_tensor_has_a_name_there_are_no_weights(content):
    with pytest.raises(ModelError, match="no tensors with names"):
        take(find(content), None)


def test_all_that_is_left_out_is_named_by_what_it_is():
    content = {
        "state_dict": {"model": {**weights(), "steps": 3, 7: torch.ones(1)}, "notes": "text"},
        "optimizer_states": [optimizer()],
        "optimizer": optimizer(),
        "epoch": 3,
        "version": "2.0",
        "ema": {"decay": 0.9, "shadow_params": [torch.ones(2), torch.ones(2)]},
        "hyper_parameters": {"lr": 1e-4},
        "lr_schedulers": [],
        "rng": torch.zeros(5),
        "best": None,
    }
    told = {one.name: one.what for one in left_out(content, take(find(content), None))}
    assert told == {
        "state_dict.model.steps": "a number",
        "state_dict.model.a number": "a tensor",
        "state_dict.notes": "text",
        "optimizer_states": "states of optimizers",
        "optimizer": "states of an optimizer",
        "epoch": "a number",
        "version": "text",
        "ema": "2 tensors without names",
        "hyper_parameters": "1 entries",
        "lr_schedulers": "a list of 0",
        "rng": "a tensor",
        "best": "nothing",
    }


def test_dicts_that_hold_themselves_or_each_other_over_and_over_end():
    turning: dict[str, Any] = {"model": weights()}
    turning["again"] = turning
    assert len(find(turning)) > 1
    doubled: dict[str, Any] = {"w": torch.ones(1)}
    for _ in range(60):
        doubled = {"a": doubled, "b": doubled}
    assert find(doubled) == []  # too deep
    wide: dict[str, Any] = {"w": torch.ones(1)}
    for _ in range(6):
        wide = {f"{k}": wide for k in range(6)}
    with pytest.raises(ModelError, match="more than 10000 dicts inside each other"):
        find(wide)


def test_methods_that_a_pickle_hung_onto_a_dict_are_not_called():
    def called(*_: object) -> None:
        raise AssertionError

    content = OrderedDict(model=weights(), epoch=3)
    content.__dict__.update(items=called, keys=called, values=called, get=called)
    found = find(content)
    assert [one.name for one in found] == ["model"]
    assert [one.name for one in left_out(content, found[0])] == ["epoch"]

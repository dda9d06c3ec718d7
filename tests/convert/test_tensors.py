"""What becomes of tensors that share memory, are no dense arrays, or are of odd dtypes."""

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from memaudit.convert.tensors import whole
from memaudit.errors import ModelError

GB = 1 << 30


def kept(**tensors: Tensor) -> dict[str, Tensor]:
    return load(save(whole(tensors, GB)))


def test_tensors_that_share_memory_are_written_one_by_one():
    base = torch.arange(12.0).view(3, 4)
    found = kept(whole=base, again=base, row=base[1], turned=base.T, flat=base.view(-1))
    assert torch.equal(found["again"], base)
    assert torch.equal(found["row"], base[1])
    assert torch.equal(found["turned"], base.T)
    assert torch.equal(found["flat"], torch.arange(12.0))


@pytest.mark.parametrize(
    "dtype",
    [
        *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn),
        *(torch.int64, torch.int32, torch.uint8, torch.int8, torch.bool, torch.complex64),
    ],
)
def test_numbers_and_dtypes_stay_as_they_are(dtype):
    made = torch.arange(6).view(2, 3).to(dtype)
    found = kept(a=made, scalar=made[1, 1], empty=made[:0], none=made[:, :0])
    assert found["a"].dtype == dtype
    assert torch.equal(found["a"].view(torch.uint8), made.view(torch.uint8))
    assert (found["scalar"].shape, found["empty"].shape) == ((), (0, 3))


def test_layouts_of_memory_are_no_part_of_the_weights():
    made = torch.randn(2, 3, 4, 5)
    found = kept(last=made.to(memory_format=torch.channels_last), cut=made[:, ::2, 1:3])
    assert torch.equal(found["last"], made)
    assert torch.equal(found["cut"], made[:, ::2, 1:3])


def test_parameters_and_lazy_conjugates_become_their_numbers():
    number = torch.tensor([1 + 2j])
    found = kept(weight=nn.Parameter(torch.ones(2)), conj=number.conj(), part=number.conj().imag)
    assert torch.equal(found["conj"], torch.tensor([1 - 2j]))
    assert torch.equal(found["part"], torch.tensor([-2.0]))
    assert not found["weight"].requires_grad


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: torch.eye(3).to_sparse(), "layer.w is sparse or nested"),
        (lambda: torch.eye(3).to_sparse_csr(), "layer.w is sparse or nested"),
        (lambda: torch.nested.nested_tensor([torch.ones(2)]), "layer.w is sparse or nested"),
        (lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8), "is quantized"),
        (lambda: torch.ones(2, device="meta"), "layer.w has a shape and no numbers"),
        (lambda: torch.ones(2, dtype=torch.complex128), "layer.w is of torch.complex128"),
    ],
)
def test_what_is_no_dense_array_is_refused_by_name(make, said):
    with pytest.raises(ModelError, match=said):
        kept(**{"layer.w": make()})


@pytest.mark.parametrize("name", ["__metadata__", "a\udcff"])
def test_names_that_no_file_can_hold_are_refused(name):
    with pytest.raises(ModelError, match="is none that safetensors can hold"):
        kept(**{name: torch.ones(1)})


def test_views_that_repeat_numbers_are_refused_before_they_take_memory():
    with pytest.raises(ModelError, match=r"would take 4000000000012 bytes.*: w repeats the same"):
        whole({"a": torch.ones(3), "w": torch.ones(1).expand(10**6, 10**6)}, 2000)
    assert whole({"w": torch.ones(1).expand(10)}, 2000)["w"].tolist() == [1] * 10


def test_methods_that_a_pickle_hung_onto_a_tensor_are_not_called():
    made = torch.ones(3)
    made.detach = made.contiguous = made.clone = made.numel = None  # type: ignore[assignment]
    assert torch.equal(kept(a=made, b=made)["b"], torch.ones(3))

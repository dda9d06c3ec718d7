import pytest
import torch

from memaudit.errors import out_of_memory


def test_want_of_memory_is_told_from_other_errors_of_torch():
    with pytest.raises(RuntimeError) as asked:
        torch.empty(1 << 50)
    assert out_of_memory(asked.value)
    with pytest.raises(RuntimeError) as other:
        torch.ones(2) + torch.ones(3)
    assert not out_of_memory(other.value)
    assert out_of_memory(MemoryError())

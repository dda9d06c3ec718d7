"""The folder of a training, and what else may lie there."""

import pytest

from memaudit.errors import RunDirectoryError
from memaudit.train.folder import check


@pytest.mark.parametrize("text", ["[" * 100_000, "no JSON", "{}", '{"digest": 1e999}', "[]"])
def test_a_record_that_cannot_be_read_is_refused(text, tmp_path):
    (tmp_path / "training.json").write_text(text, encoding="utf-8")
    with pytest.raises(RunDirectoryError, match=r"training\.json is no record of a training"):
        check(tmp_path, "key")

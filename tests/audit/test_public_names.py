import subprocess
import sys

import pytest
from runs import ask

import memaudit
import memaudit.audit
import memaudit.config

NO_TORCH = """
import sys, memaudit
config = memaudit.ScanConfig(model="m", dataset="d", out="o", data=memaudit.DataOptions())
print(sorted({"torch", "faiss", "pandas", "numpy"} & sys.modules.keys()))
"""


def test_importing_memaudit_and_making_a_configuration_imports_no_torch():
    done = subprocess.run(
        [sys.executable, "-c", NO_TORCH], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_the_public_names_are_the_objects_of_their_modules(sides, tmp_path):
    assert memaudit.ScanConfig is memaudit.config.ScanConfig
    result = memaudit.scan(ask(sides.members, tmp_path / "run", controls=sides.controls))
    assert isinstance(result, memaudit.ScanResult)
    assert memaudit.scan is memaudit.audit.scan


def test_every_public_name_is_there_and_no_other():
    assert all(hasattr(memaudit, name) for name in memaudit.__all__)
    with pytest.raises(AttributeError, match="no attribute 'scann'"):
        memaudit.scann  # noqa: B018

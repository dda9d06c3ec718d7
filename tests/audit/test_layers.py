"""Only the top of a scan knows the whole of what was asked; what is below is told its part."""

import ast
from pathlib import Path

import memaudit

PACKAGE = Path(memaudit.__file__).parent
WHOLE = "ScanConfig"
TOP = {
    *("audit/pipeline.py", "audit/plan.py", "audit/result.py", "audit/calibration.py"),
    "run/record.py",
}


def told_the_whole(path):
    """Functions of a file, with their lines, whose parameters are annotated with the whole."""
    for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            given = function.args
            named = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
            notes = [one.annotation for one in named if one is not None and one.annotation]
            if any(WHOLE in ast.unparse(note) for note in notes):
                yield f"{path.relative_to(PACKAGE)}:{function.lineno} {function.name}"


def below(path):
    """Whether a file lies below the pipeline."""
    name = path.relative_to(PACKAGE).as_posix()
    return name not in TOP and name.split("/")[0] not in ("cli", "demo", "config")


def test_no_function_below_the_pipeline_is_told_the_whole_configuration():
    files = sorted(PACKAGE.rglob("*.py"))
    assert [one for path in files if below(path) for one in told_the_whole(path)] == []


def test_in_the_plan_the_estimate_alone_is_told_it():
    found = [*told_the_whole(PACKAGE / "audit/plan.py")]
    assert [one.split()[1] for one in found] == ["estimate"]

"""The documentation says what the code does."""

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import click
import numpy as np
import pytest
import torch
from diffusers import EDMEulerScheduler, UNet2DModel
from PIL import Image as PillowImage

from memaudit.attacks.reconstruction import PREFERRED
from memaudit.attacks.registry import BUILT_IN as ATTACKS
from memaudit.attacks.scores import COLUMNS
from memaudit.audit.inspection import inspect
from memaudit.audit.inspection_words import describe, in_a_line
from memaudit.cli.app import cli
from memaudit.comparison.pipeline import CHANGED
from memaudit.comparison.records import COLUMNS as COMPARED
from memaudit.comparison.shares import SHARE_COLUMNS
from memaudit.config import InspectConfig, ModelConfig, ScanConfig
from memaudit.config.fields import all_options
from memaudit.errors import MemauditError
from memaudit.models.families.registry import FAMILIES
from memaudit.models.inspection import FORMAT as INSPECTION_FORMAT
from memaudit.models.inspection import Inspection
from memaudit.models.limits import NUMBER, WHOLE
from memaudit.models.loaded import ModelOptions
from memaudit.models.provenance import Provenance
from memaudit.records import KEYS, Claim, Column
from memaudit.report.attachments import SHORT
from memaudit.run.record import FORMAT, Calibration, Environment, Prepared, Record
from memaudit.similarity.embed.registry import BUILT_IN
from memaudit.statistics.explored import Explored
from memaudit.statistics.findings import described
from memaudit.statistics.inference import Combination, Inference
from memaudit.statistics.summary import Conduct, Counts, DatasetLevel, Flagged, Summary
from memaudit.statistics.verdict import Outcome

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks" / "README.md"
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")), BENCHMARKS]
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)")
LAUNCHERS = ("--nproc-per-node", "--multi-gpu", "--num-processes")  # torchrun, accelerate
OLD = re.compile(  # what words and columns were once called, or what gives way to plainer words
    r"\binfluence|\bseverity\b|\breach\b|blind baseline|\bfair(ness)?\b|exonerat|convict|acquit"
    r"|own_similarity_flipped|--noise(?![\w-])|`reconstruction`",
    re.IGNORECASE,
)
REMOVED = {"--noise"}  # options that the changelog names

document = pytest.mark.parametrize(
    "path", DOCUMENTS, ids=lambda path: f"{path.parent.name}/{path.name}"
)


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def between(text: str, start: str, end: str) -> str:
    return text.partition(start)[2].partition(end)[0]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def first_cells(text: str) -> list[str]:
    """The words in backticks of the first cell of every row of a table."""
    cells = re.findall(r"^\|([^|]*)\|", text, re.MULTILINE)
    return [word for cell in cells for word in re.findall(r"`([^`]+)`", cell)]


def names_of(record: type) -> list[str]:
    """The keys of a record, as JSON has them."""
    return [field.name for field in fields(record)]


def keys_of(record: Any, before: str = "") -> Iterator[str]:
    """The keys of a record and of those in it, "a.b", and "a[].b" where a is a list of them."""
    for name, hint in get_type_hints(record).items():
        kinds = [kind for kind in get_args(hint) if kind is not type(None)]
        kind = kinds[0] if get_origin(hint) is not tuple and kinds else hint
        many = get_origin(kind) is tuple
        item = get_args(kind)[0] if many else kind
        if is_dataclass(item):
            yield from keys_of(item, f"{before}{name}{'[]' * many}.")
        else:
            yield before + name


def anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def commands(command: click.Command) -> Iterator[click.Command]:
    yield command
    if isinstance(command, click.Group):
        for child in command.commands.values():
            yield from commands(child)


def errors(kind: type[MemauditError]) -> Iterator[type[MemauditError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from errors(child)


def test_the_readme_lists_the_commands_of_the_command_line():
    listed = first_cells(between(read("README.md"), "<!-- commands -->", "<!-- end of commands"))
    assert sorted(listed) == sorted(f"memaudit {name}" for name in cli.commands)


@document
def test_every_option_that_is_mentioned_exists(path):
    known = {"--help", "--version", *LAUNCHERS} | {
        flag
        for command in commands(cli)
        for p in command.params
        if not getattr(p, "hidden", False)
        for flag in (*p.opts, *p.secondary_opts)
    }
    if path.name == "CHANGELOG.md":
        known |= REMOVED
    assert set(FLAG.findall(path.read_text(encoding="utf-8"))) <= known


@document
def test_links_lead_to_files_and_headings_that_are_there(path):
    for target, anchor in LINK.findall(path.read_text(encoding="utf-8")):
        file = path.parent / target if target else path
        assert file.is_file(), target
        assert not anchor or anchor in anchors(file), f"{target}#{anchor}"


def test_every_column_of_the_findings_is_documented_in_its_order():
    section = between(read("docs/files.md"), "## findings.csv", "\n## ")
    assert first_cells(section) == [name for name, _ in described(COLUMNS)]


def test_the_columns_of_the_short_findings_are_documented_in_their_order():
    row = between(read("docs/files.md"), "| `findings-short.csv` |", "\n")
    assert re.findall(r"`(\w+)`", row.partition("|")[2]) == list(SHORT)


def test_the_keys_and_columns_of_the_scores_are_documented_in_their_order():
    section = between(read("docs/files.md"), "## scores/", "\n## ")
    assert first_cells(section) == [*KEYS, "snr_db", *(column.name for column in COLUMNS)]


@pytest.mark.parametrize(
    ("place", "record"),
    [
        ("## prepared.json", Prepared),
        ("- `model`", Provenance),
        ("## scan.json", Record),
        ("- `summary`\n", Summary),
        ("- `counts`", Counts),
        ("- `flagged`", Flagged),
        ("- `dataset`", DatasetLevel),
        ("- `conduct`", Conduct),
        ("- `inference`", Inference),
        ("- `inference`", Combination),
        ("- `explored`", Explored),
        ("- `environment`", Environment),
        ("- `calibrations`", Calibration),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_every_key_of_a_record_is_documented(place, record):
    section = between(read("docs/files.md"), place, "\n## ")
    missing = [name for name in names_of(record) if f"`{name}`" not in section]
    assert not missing


def test_every_key_of_an_inspection_is_documented_in_its_order():
    section = between(read("docs/inspect.md"), "## For programs", "\n## ")
    keys = re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)
    assert keys == list(keys_of(Inspection))
    assert f"| `format` | {INSPECTION_FORMAT};" in section


def test_the_inspection_that_is_shown_is_that_of_the_bundled_model(monkeypatch):
    monkeypatch.chdir(ROOT)
    command, *shown = between(read("docs/inspect.md"), "```\n", "```").splitlines()
    found = inspect(InspectConfig(target=ModelConfig(spec=command.split()[-1])))
    assert describe(found).splitlines() == shown


def test_the_line_of_a_scan_that_is_shown_has_the_words_of_one():
    [line] = re.findall(r"memaudit: (model: stable-diffusion .*)", read("docs/inspect.md"))
    overfit = in_a_line(
        inspect(InspectConfig(target=ModelConfig(spec="memaudit/demo/models/overfit")))
    )
    pattern = (
        r"model: [a-z-]+ \(\w+\), \w+, \w+, sigma [\d.e+]+ to [\d.e+]+, (pixels|latents) [\dx]+"
    )
    assert re.match(pattern, line)
    assert re.match(pattern, overfit)


def test_the_format_of_run_directories_is_documented():
    assert f"This is format {FORMAT} of run directories." in read("docs/files.md")


def test_options_that_may_change_in_a_run_are_those_that_its_digest_leaves_out():
    section = between(read("docs/files.md"), "## What continues a run", "\n## ")
    table = between(section, "| Options |", "\n\n")
    parts = {field.name: field.type for field in fields(ScanConfig)}
    assert set(parts) == {"data", "target", "attack", "calibration", "execution"}
    config = ScanConfig(model="model", dataset="images", out="run")
    free = {
        option.flag
        for part in (config.calibration, config.execution)
        for option in all_options(type(part))
    }
    assert set(first_cells(table)) == free


def test_the_attacks_are_named_by_the_names_that_scores_have():
    assert set(PREFERRED) <= set(ATTACKS)
    tables = between(read("docs/attacks.md"), "| Name |", "## One of your own")
    rows = "\n".join(line for line in tables.splitlines() if line.startswith("| `"))
    assert sorted(first_cells("| Name |\n|---|\n" + rows)) == sorted(ATTACKS)
    for name in ("README.md", "docs/glossary.md", "docs/method.md", "docs/files.md"):
        named = set(re.findall(r"`(reconstruction-[a-z-]+)`", read(name)))
        assert named <= set(ATTACKS)


@pytest.mark.parametrize(
    ("table", "expected"), [("| Claim |", get_args(Claim)), ("| Field |", names_of(Column))]
)
def test_what_an_attack_says_of_itself_is_explained(table, expected):
    assert first_cells(between(read("docs/attacks.md"), table, "\n\n")) == list(expected)


def test_the_attack_that_is_shown_says_its_types():
    [example] = blocks(read("docs/attacks.md"), "python")
    functions = [one for one in ast.walk(ast.parse(example)) if isinstance(one, ast.FunctionDef)]
    assert {"cost", "run", "median_error"} <= {one.name for one in functions}
    for one in functions:
        assert one.returns, one.name
        assert all(given.annotation or given.arg == "self" for given in one.args.args), one.name


def test_the_outcomes_of_a_verdict_are_explained():
    table = between(read("README.md"), "| Outcome |", "\n\n")
    listed = re.findall(r"^\| ([a-z ]+) \|", table, re.MULTILINE)
    assert listed == [str(outcome) for outcome in Outcome]


@document
def test_old_names_are_in_the_changelog_only(path):
    found = OLD.search(path.read_text(encoding="utf-8"))
    assert not found or path.name == "CHANGELOG.md"


def test_the_glossary_has_the_words_of_a_summary_and_says_each_once():
    terms = re.findall(r"^\*\*([^*]+)\.\*\*", read("docs/glossary.md"), re.MULTILINE)
    words = [word.strip().lower() for term in terms for word in term.split(",")]
    assert len(set(words)) == len(words)
    claims = ["membership", "reproduction"]
    rows = ["flagged", "smallest detectable count", "auc", "tpr at 1 % fpr", "power"]
    rows += ["excess above controls", "exchangeability check", "frozen noise", "reference model"]
    keys = ["attack", "input", "phase", "level", "draw"]
    assert set(words) >= {*claims, *rows, *keys}


def test_the_glossary_is_linked_from_every_page_that_uses_its_words():
    for name in ("README.md", "docs/statistics.md", "docs/method.md", "docs/files.md"):
        assert "glossary.md" in [
            target.rpartition("/")[2] for target, _ in LINK.findall(read(name))
        ]


def test_the_summary_that_is_explained_has_rows_that_a_scan_prints():
    example = between(read("docs/statistics.md"), "```\n", "```")
    names = re.findall(r"^  ([a-zA-Z][a-zA-Z -]*?)  +\S", example, re.MULTILINE)
    rows = names[: names.index("exchangeable") + 1]
    printed = read("memaudit/report/words.py")
    assert [name for name in rows if f'"{name}"' not in printed] == []


@pytest.mark.parametrize(
    ("name", "columns"),
    [("comparison.csv", COMPARED), ("shares.csv", SHARE_COLUMNS), ("flags.csv", CHANGED)],
)
def test_every_column_of_a_comparison_is_documented_in_its_order(name, columns):
    section = between(read("docs/files.md"), f"\n## {name}", "\n## ")
    assert first_cells(section) == [column for column, _ in columns]


def test_the_readme_lists_the_exit_codes_that_help_and_errors_have():
    table = between(read("README.md"), "| Exit code |", "\n\n")
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)}
    codes = between(cli.help or "", "Exit codes:", ".")
    assert listed == {int(code) for code in re.findall(r"(\d+) [a-z]", codes)}
    assert listed >= {error.exit_code for error in errors(MemauditError)}


def test_the_embedders_are_listed():
    table = between(read("docs/embedders.md"), "| Name |", "\n\n")
    names = re.findall(r"^\| `([^`]+)`", table, re.MULTILINE)
    assert sorted(names) == sorted(BUILT_IN)


def test_the_options_of_the_toml_example_are_those_of_the_command():
    [example] = map(tomllib.loads, blocks(read("README.md"), "toml"))
    assert example.keys() <= cli.commands.keys()
    for name, table in example.items():
        params = cli.commands[name].params
        assert table.keys() <= {flag.lstrip("-") for p in params for flag in p.opts}


def test_the_python_example_makes_a_configuration():
    [example] = blocks(read("README.md"), "python")
    start, configure = ast.parse(example).body[:2]
    names: dict[str, object] = {}
    exec(compile(ast.Module([start, configure], []), "README.md", "exec"), names)
    assert isinstance(names["config"], ScanConfig)


def test_the_python_page_runs_from_a_scan_to_a_gate(tiles, tmp_path, monkeypatch):
    turned = [tile[::-1, ::-1] for tile in tiles[6:50]]
    for name, images in {"members": tiles[:6], "controls": [*tiles[6:50], *turned]}.items():
        (tmp_path / name).mkdir()
        for k, image in enumerate(images):
            PillowImage.fromarray(image).save(tmp_path / name / f"{k:03d}.png")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for example in blocks(read("docs/api.md"), "python"):
        exec(compile(example, "api.md", "exec"), names)
    assert len(names["flagged"]) == 6
    assert names["stricter"].summary.flagged.q == 0.02
    assert len(names["comparison"].sentences) == 2  # of reproduction, and of membership
    assert [path.name for path in names["written"].reports] == ["report.html", "report.json"]
    assert names["gated"].exit_code == 1
    assert len(names["findings"]) == 6 + 88
    assert names["record"].verdict.outcome is Outcome.EVIDENCE


def test_the_plug_in_example_embeds_images_as_unit_vectors(tiles):
    [example] = blocks(read("docs/embedders.md"), "python")
    names: dict[str, object] = {"__name__": "plug_in"}
    exec(compile(example, "embedders.md", "exec"), names)
    embedder = names["load"]("", "cpu")
    vectors = embedder.embed(tiles)
    assert vectors.shape == (len(tiles), embedder.dim)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)


def test_the_families_are_listed():
    table = between(read("docs/families.md"), "| Name |", "\n\n")
    assert re.findall(r"^\| `([^`]+)`", table, re.MULTILINE) == list(FAMILIES.built_in)


def test_the_plug_in_example_denoises_as_the_scheduler_of_diffusers(tmp_path):
    [example] = blocks(read("docs/families.md"), "python")
    names: dict[str, object] = {"__name__": "plug_in"}
    exec(compile(example, "families.md", "exec"), names)
    network, scheduler = write_edm(tmp_path)
    assert names["FAMILY"].owns(tmp_path)
    denoiser = names["FAMILY"].load(tmp_path, ModelOptions()).denoiser
    x = denoiser.sigma_max * torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    scheduler.set_timesteps(2)
    t = scheduler.timesteps[0]
    with torch.no_grad():
        output = network(scheduler.scale_model_input(x, t), t).sample
        ours = denoiser.denoise(x, torch.tensor([denoiser.sigma_max]))
    theirs = scheduler.step(output, t, x).pred_original_sample
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def write_edm(folder):
    torch.manual_seed(0)
    network = UNet2DModel(
        sample_size=8,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
        layers_per_block=1,
    ).eval()
    scheduler = EDMEulerScheduler()
    network.save_pretrained(folder)
    scheduler.save_pretrained(folder)
    return network, scheduler


def test_the_layers_drawn_are_those_that_are_checked():
    contracts = tomllib.loads(read("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    checked = [layer.replace("memaudit.", "") for layer in contracts[0]["layers"]]
    assert "\n".join(f"    {layer}" for layer in checked) in read("CONTRIBUTING.md")


def test_every_room_of_the_house_is_described():
    rooms = [path for path in (ROOT / "memaudit").iterdir() if not path.name.startswith(("_", "."))]
    named = {path.stem for path in rooms if path.is_dir() or path.suffix == ".py"}
    described = first_cells(between(read("CONTRIBUTING.md"), "| Room |", "\n\n"))
    assert sorted(described) == sorted(named)


@document
def test_every_make_target_that_is_mentioned_exists(path):
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
    mentioned = re.findall(r"(?:`|^    )make ([a-z-]+)", path.read_text(encoding="utf-8"), re.M)
    assert set(mentioned) <= targets


def test_the_bounds_of_configurations_are_those_that_are_stated():
    table = between(read("docs/families.md"), "## What a configuration may ask for", "A list has")
    rows = re.findall(r"^\| (`.+`|any other number) \| (-?\d+) \| (\d+) \|$", table, re.M)
    stated = {
        name: (int(low), int(high))
        for names, low, high in rows
        for name in re.findall(r"`(\w+)`", names) or ["any"]
    }
    assert stated == {**WHOLE, "any": (-NUMBER, NUMBER)}


def test_the_smallest_family_is_shown_as_it_is():
    shown = between(read("CONTRIBUTING.md"), "`models/families/lumina2.py`", "An option of a scan")
    assert read("memaudit/models/families/lumina2.py") == between(shown, "```python\n", "```")

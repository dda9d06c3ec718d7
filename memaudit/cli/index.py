"""`memaudit index build` and `memaudit index search`."""

from __future__ import annotations

from typing import Any

import click

from memaudit.cli import options
from memaudit.cli.disk import name_full_disk
from memaudit.cli.progress import bars
from memaudit.cli.terminal import say, say_json
from memaudit.config import AttackConfig, DataConfig
from memaudit.config.fields import LARGEST
from memaudit.text import shown


@click.group()
def index() -> None:
    """Build an index of images, or look an image up in one."""


@index.command()
@click.argument("dataset")
@click.option(
    "--out",
    metavar="DIRECTORY",
    type=options.TEXT,
    required=True,
    help="Where the index is written.",
)
@click.option(
    "--resolution",
    type=click.IntRange(1, LARGEST),
    help="Side in pixels to which images are brought first: for a scan, the model's; default: "
    "their own.",
)
@options.of(DataConfig, "dataset", "duplicate_threshold", "cluster_column")
@options.chosen(AttackConfig, "embedder")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of --sample.")
@options.CONFIG_FILE
def build(out: str, resolution: int | None, embedder: str, seed: int, **values: Any) -> None:
    """Embed DATASET and write an exact FAISS index with a sidecar that is verified on use.

    A scan takes it by --index if data, controls, embedder, resolution and resize are the same.
    """
    data = DataConfig(**values)
    from memaudit.audit.lookup import Wanted, build_index

    with bars() as progress, name_full_disk(out):
        embedded = build_index(data, Wanted(out, embedder, resolution, seed), progress)
    captions = int((embedded.table["prompt"] != "").sum())
    say(
        f"{shown(out)}: {len(embedded.index.ids)} different images of {len(embedded.table)} read, "
        f"{len(embedded.errors)} failed, {captions} with a caption"
    )


@index.command()
@click.argument("index_directory", metavar="INDEX", type=options.TEXT)
@click.argument("image", type=options.TEXT)
@click.option(
    "-k", "count", type=click.IntRange(1), default=5, show_default=True, help="How many to print."
)
@options.JSON
def search(index_directory: str, image: str, count: int, as_json: bool) -> None:
    """Print the images of INDEX that are nearest to the file IMAGE: rank, similarity, source."""
    from memaudit.audit.lookup import search_index

    found = search_index(index_directory, image, count)
    if as_json:
        say_json([hit.__dict__ for hit in found])
        return
    for rank, hit in enumerate(found, start=1):
        say(f"{rank:4d}  {hit.similarity:.5f}  {hit.split:7s}  {shown(hit.source)}")

"""`memaudit demo`."""

from __future__ import annotations

import click

from memaudit.cli import options
from memaudit.cli.disk import name_full_disk
from memaudit.cli.progress import bars
from memaudit.cli.terminal import say, say_comparison, say_digest, say_scan
from memaudit.text import shown


@click.command()
@click.option(
    "--out",
    metavar="DIRECTORY",
    type=options.TEXT,
    default="memaudit-demo",
    show_default=True,
    help="Where images and runs are written.",
)
@click.option("--images-only", is_flag=True, help="Write the images and stop.")
@options.VERBOSE
def demo(out: str, images_only: bool, verbose: bool) -> None:
    """Scan three bundled models on tiles of real photographs, and compare two of them.

    One was overfit on the members, its twin was trained on other tiles: evidence is expected for
    the first and none for the second. The third was trained on noisy copies of the members; it is
    compared with the first.
    """
    from memaudit.demo.run import compare_demo, report_demo, run_demo, write_images

    with bars() as progress, name_full_disk(out):
        if images_only:
            say("\n".join(str(folder) for folder in write_images(out).values()))
            return
        for title, result in run_demo(out, progress):
            say(f"=== {title}")
            say_scan(result.record, verbose)
            say_digest(result.digest, as_json=False)
            say("")
        comparison = compare_demo(out, progress)
        say("=== clean against ambient training")
        say_comparison(comparison, verbose)
        say("")
        path = shown(str(report_demo(out, comparison)))
        say(f"=== all of it for people to read\nReport: {path}")

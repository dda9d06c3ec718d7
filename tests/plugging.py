"""Another package that registers something, installed for one test."""

from pathlib import Path


def install(site: Path, group: str, name: str, target: str) -> None:
    """Write what a wheel leaves in site-packages of a package with one entry point."""
    information = site / f"{name}_plugin-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(f"[{group}]\n{name} = {target}\n")

"""The project's own source as far as it decides what comes of a run."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from ipa.sim import file_digest

LAYERS = ("profiles", "traces", "policies", "sim")
OF_STUDIES = ("loads.py", "run.py", "scenario.py", "study/outcome.py")
"""What of this folder a run goes through; all else only shows what came of it."""


@cache
def source_digest() -> str:
    """sha256 of that source, read once in a process; the same for a checkout and for what is installed from it."""
    folder = Path(__file__).parents[1]
    return file_digest(folder, files(folder))


def files(folder: Path) -> list[Path]:
    """The source files, in the folder that the packages are in."""
    layers = [file for layer in LAYERS for file in (folder / layer).rglob("*.py")]
    return [*layers, *(folder / "studies" / name for name in OF_STUDIES)]

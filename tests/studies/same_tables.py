"""Whether two checkouts make the same tables, byte for byte.

    python -m tests.studies.same_tables BEFORE AFTER [--into FOLDER]

Each checkout's own `ipa` (`make install` puts it there) runs the README's demo, every shipped example and the paper's
study with one seed. Tables and journals are then compared as bytes; manifests without versions and times, which are no
property of a run. Exits with 1 where anything differs or is missing.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

EXAMPLES = "studies/examples"

RUNS: Mapping[str, Sequence[str]] = {
    "demo": ("compare", "video", "--trace", "bursty", "--seeds", "3"),
    "core-limited": ("simulate", f"{EXAMPLES}/core-limited.yaml"),
    "published-run": ("simulate", f"{EXAMPLES}/published-run.yaml"),
    "slow-start": ("simulate", f"{EXAMPLES}/slow-start.yaml"),
    "slow-start-simpy": ("simulate", f"{EXAMPLES}/slow-start.yaml", "--set", "engine=simpy"),
    "my-policy": ("simulate", "video", "--policy", f"{EXAMPLES}/my_policy.py:Steady"),
    "paper": ("study", "paper", "--seeds", "1", "--quiet"),
}
"""What is run: the name of its results -> the command's arguments."""

TIMES = ("decision_times.md", "report.html", "finished.sqlite")
"""Files that hold wall-clock times, or how the rest is kept and drawn."""

NO_PROPERTY_OF_A_RUN = (
    "files",
    "versions",
    "wall_s",
    "runs_s",
    "whole_s",
    "decision_times",
    "fresh_runs",
    "decisions_reused",
)
"""Keys of manifests that are left out, at any depth: contents of this checkout's files, versions, times, what had been
found before."""


def make(checkout: Path, into: Path) -> None:
    """Run everything with a checkout's own command. Raises CalledProcessError where one fails."""
    for name, arguments in RUNS.items():
        if (into / name).exists():
            continue
        command = [str(checkout.absolute() / ".venv/bin/ipa"), *arguments, "--out", str(into / name)]
        subprocess.run(command, cwd=checkout, check=True, stdout=subprocess.DEVNULL)


def differences(before: Path, after: Path) -> Iterator[str]:
    """A sentence for each file that differs or is in one of the folders alone."""
    files = {path.relative_to(folder) for folder in (before, after) for path in folder.rglob("*") if path.is_file()}
    for file in sorted(files):
        one, other = before / file, after / file
        if not (one.is_file() and other.is_file()):
            yield f"{file}: is {'after' if other.is_file() else 'before'} only"
        elif file.name not in TIMES and _content(one) != _content(other):
            yield f"{file}: differs"


def _content(file: Path) -> object:
    if file.name == "manifest.json":
        return _lasting(json.loads(file.read_text(encoding="utf-8")))
    return file.read_bytes()


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lasting(item) for key, item in value.items() if key not in NO_PROPERTY_OF_A_RUN}
    return [_lasting(item) for item in value] if isinstance(value, list) else value


@click.command()
@click.argument("before", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("after", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--into", type=click.Path(path_type=Path, file_okay=False), help="keep the results there, or use them")
def main(before: Path, after: Path, into: Path | None) -> None:
    """Compare the tables that two checkouts make."""
    with TemporaryDirectory() as temporary:
        folder = into or Path(temporary)
        for checkout, name in ((before, "before"), (after, "after")):
            (folder / name).mkdir(parents=True, exist_ok=True)
            make(checkout, folder / name)
        found = list(differences(folder / "before", folder / "after"))
        count = sum(path.is_file() for path in (folder / "before").rglob("*"))
    for line in found:
        click.echo(line)
    click.echo(f"{count} files, {len(found)} differences")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()

"""`make bench`: all benchmarks that can run here, printed and kept as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console

from tests.programs.benchmarks import (
    crowds,
    engines,
    explorer,
    fleets,
    gateway,
    hostile,
    language_models,
    many_runs,
    peers,
    sizes,
)
from tests.programs.benchmarks.tables import Table, machine
from tests.studies.browser import CHROMIUM

TABLES = (
    *("engines", "graphs", "language", "runs", "sizes", "parts", "many", "growth", "fleets", "solvers"),
    *("gateway", "hostile", "crowds", "explorer", "peers"),
)


def measured(names: list[str]) -> Iterator[Table | str]:
    """The tables of those names as they are done; in place of one that cannot be measured here, why."""
    makers: dict[str, Callable[[], Table]] = {
        "engines": engines.engines,
        "graphs": engines.graphs,
        "language": language_models.language_models,
        "runs": engines.whole_runs,
        "parts": many_runs.parts,
        "many": many_runs.many_runs,
        "growth": sizes.growth,
        "fleets": fleets.fleets,
        "sizes": sizes.sizes,
        "gateway": gateway.gateway,
        "hostile": hostile.hostile_bodies,
        "crowds": crowds.crowds,
    }
    if CHROMIUM is not None:
        makers["explorer"] = explorer.explorer
    if "solvers" in names and find_spec("tests.programs.benchmarks.solvers") is not None:
        makers["solvers"] = import_module("tests.programs.benchmarks.solvers").table
    if peers.PYTHON.exists():
        makers["peers"] = peers.table
    for name in names:
        if name in makers:
            yield makers[name]()
        elif name == "peers":
            yield f"peers: {peers.PYTHON.parents[1].name} is not there; `make bench-peers` makes it"
        elif name == "explorer":
            yield f"{name}: no Chromium on this machine"
        else:
            yield f"{name}: not part of this checkout"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=f"of {', '.join(TABLES)}; all by default")
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"), help="where to keep the results")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.tables if name not in TABLES]
    if unknown:
        parser.error(f"no table {unknown[0]!r}; allowed: {', '.join(TABLES)}")
    console = Console(width=None if sys.stdout.isatty() else 200, highlight=False)
    here = machine()
    caption = f"{here['processor']}, {here['cores']} cores, Python {here['python']}"
    console.print(caption, end="\n\n")
    tables = []
    for table in measured(arguments.tables or list(TABLES)):
        if isinstance(table, Table):
            tables.append(table)
            table.print(console)
        else:
            console.print(f"Skipped {table}", end="\n\n")
    kept: Path = arguments.json
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps({"machine": here, "tables": [table.as_json() for table in tables]}, indent=1) + "\n")
    console.print(f"Kept in {kept}")


if __name__ == "__main__":
    main()

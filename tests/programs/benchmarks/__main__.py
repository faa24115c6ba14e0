"""`make bench`: all benchmarks, printed and kept as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from tests.programs.benchmarks import engines, gateway, many_runs, solvers
from tests.programs.benchmarks.tables import Table, machine

TABLES: dict[str, Callable[[], Table]] = {
    "engines": engines.engines,
    "graphs": engines.graphs,
    "runs": engines.whole_runs,
    "parts": many_runs.parts,
    "many": many_runs.many_runs,
    "solvers": solvers.table,
    "gateway": gateway.gateway,
}


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
    tables: list[Table] = []
    for name in arguments.tables or TABLES:
        tables.append(TABLES[name]())
        tables[-1].print(console)
    kept: Path = arguments.json
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps({"machine": here, "tables": [table.as_json() for table in tables]}, indent=1) + "\n")
    console.print(f"Kept in {kept}")


if __name__ == "__main__":
    main()

"""Milliseconds of one decision: the exact solver beside Gurobi and HiGHS, where these are installed.

Run it alone with `python -m tests.programs.benchmarks.solvers [PROBLEMS]`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from time import process_time

from rich.console import Console

from ipa.policies.optimiser import Problem, SolverError, solve
from tests.policies import random_graphs, random_problems
from tests.programs.benchmarks.tables import Column, Table, Value

SIZES = ((2, 5, 3), (2, 5, 7), (3, 10, 7), (5, 10, 7), (10, 10, 7))
"""Stages, variants, batch sizes."""

GRAPHS = ((5, 5, 5),)
"""The same of problems whose stages form a graph."""

ACCURACIES = ("sum", "product")
PROBLEMS = 200
FEWER = 20
"""Problems for the general solvers, which take seconds for some."""

HEADINGS = {"exact": "exact", "gurobi": "Gurobi", "highs": "HiGHS"}
FIGURES = {"median": 0.5, "p99": 0.99, "max": 1.0}


def table(problems: int = PROBLEMS) -> Table:
    """Median, 99th percentile and maximum over random problems with tight SLAs, by size and accuracy."""
    figures = [
        Column(f"{solver}_{figure}_ms", f"{heading} {figure}", ".3f" if solver == "exact" else ".1f")
        for solver, heading in HEADINGS.items()
        for figure in FIGURES
    ]
    return Table(
        name="solvers",
        title="One decision with a tight SLA: processor milliseconds",
        columns=(
            Column("form", "form"),
            Column("stages", "stages", "d"),
            Column("variants", "variants", "d"),
            Column("batches", "batches", "d"),
            Column("accuracy", "accuracy"),
            *figures,
        ),
        rows=tuple(
            _row(form, *size, accuracy, problems)
            for form, sizes in (("chain", SIZES), ("graph", GRAPHS))
            for accuracy in ACCURACIES
            for size in sizes
        ),
        notes=(
            f"{problems} random problems a row; the first {min(FEWER, problems)} of them for Gurobi and HiGHS.",
            "In a graph, up to 625 combinations of variants decide how many items come. Gurobi and HiGHS take chains.",
            "A decision is all of it: options, optimum, what binds, the configuration.",
        ),
    )


def _row(form: str, stages: int, variants: int, batches: int, accuracy: str, problems: int) -> dict[str, Value]:
    make = {"chain": random_problems.tight, "graph": random_graphs.tight}[form]
    asked = [make(seed, stages, variants, batches, accuracy) for seed in range(problems)]
    row: dict[str, Value] = {"form": form, "stages": stages, "variants": variants, "batches": batches}
    row["accuracy"] = accuracy
    for solver in HEADINGS:
        spent = _spent_ms(asked if solver == "exact" else asked[:FEWER], solver)
        for figure, share in FIGURES.items():
            row[f"{solver}_{figure}_ms"] = spent[min(int(share * len(spent)), len(spent) - 1)] if spent else None
    return row


def _spent_ms(asked: Sequence[Problem], solver: str) -> list[float]:
    """What each problem takes, rising; nothing for a solver that cannot answer here."""
    spent = []
    try:
        solve(asked[0], solver=solver)  # imports, licences
        for problem in asked:
            before = process_time()
            solve(problem, solver=solver)
            spent.append(1e3 * (process_time() - before))
    except SolverError:
        return []
    return sorted(spent)


if __name__ == "__main__":
    table(int(sys.argv[1]) if len(sys.argv) > 1 else PROBLEMS).print(Console(width=200))

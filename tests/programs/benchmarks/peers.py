"""`make bench-peers`: the common tandem in other simulators, each in a process of its own, one after the other.

They have an environment of their own, and all run there, this project's engines too: the same Python and numpy for all.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from math import sqrt
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

from rich.console import Console
from scipy.stats import t as student

from tests.programs.benchmarks import tandem
from tests.programs.benchmarks.tables import Column, Table

ROOT = Path(__file__).parents[3]
PYTHON = ROOT / ".venv-bench" / "bin" / "python"
CONFIDENCE = 0.99
YARDSTICK = "naive SimPy"
OURS = ("our SimPy engine", "our compiled engine")

COLUMNS = (
    Column("simulator", "simulator"),
    Column("customers", "customers", ",d"),
    Column("customers_per_s", "per processor s", ",.0f"),
    Column("times_naive", "/ naive SimPy", ",.2f"),
    Column("simpy_engine_times", "our SimPy engine / it", ",.2f"),
    Column("compiled_engine_times", "our compiled engine / it", ",.2f"),
    Column("first_run_s", "first run s", ".2f"),
    Column("peak_mb", "peak MB", ".0f"),
    Column("mean_sojourn", "mean sojourn", ".3f"),
    Column("half_width", "±", ".3f"),
    Column("verdict", "theory"),
)


def table(python: Path = PYTHON, *, seeds: int = 5, scale: float = 1.0) -> Table:
    """All contestants that the environment of `python` can run, and by name those that it cannot."""
    measured: dict[str, dict[str, Any]] = {}
    missing = []
    for module in tandem.MODULES:
        result = _run(python, module, seeds, scale)
        if "missing" in result:
            missing.append(f"{module.removeprefix('with_')} {result['missing']}")
        else:
            measured[result["name"]] = result
    rates = {name: result["customers"] / median(result["spent_s"]) for name, result in measured.items()}
    rows = [_row(result, rates) for result in measured.values()]
    rows.sort(key=lambda row: -row["customers_per_s"])
    versions = {name: version for result in measured.values() for name, version in result["versions"].items()}
    interval = f"{CONFIDENCE:.0%} interval of the mean over {seeds} seeds"
    theory = f"Theory: {tandem.mean_sojourn():.4f}; ± is half the {interval}."
    rates_are = "Rates: median over the seeds, drawing included, compiling not (it is in the first run)."
    kept = (
        "All give the mean sojourn. Ciw and the rows of our engines keep a record of every customer and stage; "
        "the row without records, SimPy, salabim and cimba keep sums alone."
    )
    return Table(
        name="peers",
        title="Two M/M/3 queues in a row, load 0.833: customers per processor second",
        columns=COLUMNS,
        rows=tuple(rows),
        notes=(theory, rates_are, kept, f"With {_listed(versions)}.", *missing),
    )


def _listed(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))


def _run(python: Path, module: str, seeds: int, scale: float) -> dict[str, Any]:
    command = [str(python), "-m", f"{tandem.__name__}", module, "--seeds", str(seeds), "--scale", str(scale)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}  # which has no installation of this package
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"missing": "FAILED: " + done.stderr.strip().rpartition("\n")[2]}
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _row(result: dict[str, Any], rates: dict[str, float]) -> dict[str, Any]:
    name, sojourns = result["name"], result["mean_sojourn"]
    sojourn = mean(sojourns)
    half_width = stdev(sojourns) / sqrt(len(sojourns)) * float(student.ppf((1 + CONFIDENCE) / 2, len(sojourns) - 1))
    simpy_engine, compiled_engine = (rates[ours] / rates[name] if ours in rates else None for ours in OURS)
    return {
        "simulator": name,
        "customers": result["customers"],
        "customers_per_s": rates[name],
        "times_naive": rates[name] / rates[YARDSTICK] if YARDSTICK in rates else None,
        "simpy_engine_times": simpy_engine,
        "compiled_engine_times": compiled_engine,
        "first_run_s": result["first_run_s"],
        "peak_mb": result["peak_mb"],
        "mean_sojourn": sojourn,
        "half_width": half_width,
        "verdict": "within" if abs(sojourn - tandem.mean_sojourn()) <= half_width else "OUTSIDE",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", type=Path, default=PYTHON, help="of the environment that has the simulators")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of customers")
    arguments = parser.parse_args()
    if arguments.seeds < 2:
        parser.error(f"--seeds {arguments.seeds}; allowed: 2 or more, as one run tells nothing of the noise")
    if not arguments.python.exists():
        parser.error(f"--python {arguments.python} is not there; `make bench-peers` makes the default one")
    console = Console(width=None if sys.stdout.isatty() else 200, highlight=False)
    table(arguments.python, seeds=arguments.seeds, scale=arguments.scale).print(console)


if __name__ == "__main__":
    main()

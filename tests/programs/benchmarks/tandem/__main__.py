"""One contestant of the tandem: as JSON, what it took; or why it cannot run here."""

from __future__ import annotations

import argparse
import gc
import json
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from time import process_time
from typing import Any

from tests.programs.benchmarks.tandem import Contestant


def measure(contestant: Contestant, seeds: int, scale: float) -> dict[str, Any]:
    """Processor seconds and mean sojourn per seed; the first, small run warms up and compiles, and is told apart."""
    customers = max(1, round(contestant.customers * scale))
    started_s = process_time()
    contestant.simulate(300, 0)
    first_run_s = process_time() - started_s
    spent_s, sojourns = [], []
    for seed in range(1, seeds + 1):
        gc.collect()  # what one run leaves is not to burden the next
        started_s = process_time()
        sojourns.append(contestant.simulate(customers, seed))
        spent_s.append(process_time() - started_s)
    return {
        "name": contestant.name,
        "versions": {package: version(package) for package in contestant.packages},
        "customers": customers,
        "first_run_s": first_run_s,
        "spent_s": spent_s,
        "mean_sojourn": sojourns,
        "peak_mb": peak_mb(),
    }


def peak_mb() -> float | None:
    """The most memory that this process has held; Linux alone tells it without what the parent held at the fork."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return None
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("module", help="of the folder, as with_ciw")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of customers")
    arguments = parser.parse_args()
    try:
        contestant = import_module(f"tests.programs.benchmarks.tandem.{arguments.module}").CONTESTANT
    except ImportError as error:
        print(json.dumps({"missing": f"cannot run here: {error}"}))
        return
    print(json.dumps(measure(contestant, arguments.seeds, arguments.scale)))


if __name__ == "__main__":
    main()

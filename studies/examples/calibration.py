"""How well the steady loads determine the unpublished throughputs (IPA, JSys 2024).

Each throughput is varied alone by some per cent, the published runs on the two steady loads are simulated, and planned
cost and PAS are compared with the published ones. It prints a row for each change; a cell has the throughput and the
mean errors in cost and in PAS. The bursty and fluctuating loads are not used.

Run it with the real trace (see docs/traces.md):  IPA_TRACE=FILE python studies/examples/calibration.py
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from ipa.studies import Scenario, simulate

CHANGES_PERCENT = (-30, -20, -12, -8, -4, 0, 4, 8, 12, 16, 20, 30)

CALIBRATED = {
    "xlm-roberta-base": ("audio-qa", 1, ("scale-only:low",)),
    "roberta-base": ("audio-qa", 1, ("ipa", "scale-only:high")),
    "yolov5s": ("video", 8, ("scale-only:high",)),
}
"""Variant -> its pipeline, the batch size at which its throughput was calibrated, and the systems that depend on it."""

PUBLISHED = {
    ("audio-qa", "ipa"): {"steady-low": (8.9, 48.7), "steady-high": (32.7, 48.7)},
    ("audio-qa", "scale-only:low"): {"steady-low": (7.9, 45.3), "steady-high": (33.2, 45.3)},
    ("audio-qa", "scale-only:high"): {"steady-low": (17.1, 53.8), "steady-high": (93.7, 53.8)},
    ("video", "scale-only:high"): {"steady-low": (3.95, 43.95), "steady-high": (10.3, 43.95)},
}
"""Planned cost [cores] and PAS by workload."""

PUBLISHED_RUNS = {"arrivals": "clumped", "start": "configured", "decision_delay_s": 2, "dispatch": "eager"}


def scaled(pipeline: dict[str, Any], name: str, factor: float, batch: int) -> float:
    """Multiply the speed of a variant in a pipeline file's content; returns its new throughput on one core."""
    (variant,) = (variant for stage in pipeline["stages"] for variant in stage["variants"] if variant["name"] == name)
    for row in variant["figures"]:
        row["mean_s"] /= factor
        row["p99_s"] /= factor
        row["throughput_rps"] *= factor
    (figure,) = (row for row in variant["figures"] if (row["cores"], row["batch"]) == (1, batch))
    return float(figure["throughput_rps"])


def errors(file: Path, pipeline: str, policy: str) -> Iterator[tuple[float, float]]:
    """The errors of a system's published runs, with the pipeline in a file: relative in cost [%], absolute in PAS."""
    for workload, (cores, pas) in PUBLISHED[pipeline, policy].items():
        scenario = Scenario(pipeline=str(file), trace=f"twitter:{workload}")
        summary = simulate(scenario.with_values({"policy": policy, **PUBLISHED_RUNS})).summary
        cost_percent = 100 * abs(summary["planned_cost_mean_cores"] / cores - 1)
        yield cost_percent, abs(summary["planned_pas_mean"] - pas)


def main() -> None:
    print(f"| change | {' | '.join(CALIBRATED)} |")
    print(f"|---|{'---|' * len(CALIBRATED)}")
    with TemporaryDirectory() as folder:
        for percent in CHANGES_PERCENT:
            cells = []
            for name, (pipeline, batch, policies) in CALIBRATED.items():
                shipped = resources.files("ipa.profiles") / "library" / f"{pipeline}.yaml"
                content = yaml.safe_load(shipped.read_text(encoding="utf-8"))
                throughput_rps = scaled(content, name, 1 + percent / 100, batch)
                file = Path(folder) / f"{pipeline}.yaml"
                file.write_text(yaml.safe_dump(content), encoding="utf-8")
                all_errors = [error for policy in policies for error in errors(file, pipeline, policy)]
                cost_percent, pas = (fmean(column) for column in zip(*all_errors, strict=True))
                cells.append(f"{throughput_rps:.1f} rps: {cost_percent:.1f} %, {pas:.1f}")
            print(f"| {percent:+d} % | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()

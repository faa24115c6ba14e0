"""`make bench`: how fast the model is, beside a naive one, and how long one whole run takes."""

from __future__ import annotations

import os
import platform
import resource
import sys
from collections.abc import Callable
from statistics import median
from time import process_time

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

import traces
from policies import StageConfiguration
from sim.engine import Engine
from sim.model import FloatArray, ServiceTime, StageModel, World
from studies import Scenario, simulate
from tests.benchmarks import naive

REPEATS = 5
DURATION_S = 1200.0
BATCH_TIMEOUT_S = 0.1
LATENCY_S = tuple(0.03 + 0.02 * size for size in range(65))
INTERVAL_S = 10.0


def cpu_s(call: Callable[[], object], repeats: int = REPEATS) -> float:
    """The median processor time of some calls."""
    spent = []
    for _ in range(repeats):
        before = process_time()
        call()
        spent.append(process_time() - before)
    return median(spent)


def arrivals(rate_rps: float) -> FloatArray:
    """20 minutes of the bursty workload, brought to a mean rate."""
    trace = traces.find("bursty", seed=1)
    rng = np.random.default_rng(1)
    factor = rate_rps * trace.duration_s / trace.requests
    return traces.arrivals(trace.scaled(factor, "thin", rng), "poisson", rng)


def replicas_for(rate_rps: float, batch: int) -> int:
    """Enough for 1.25 times the load."""
    return max(1, int(np.ceil(1.25 * rate_rps * LATENCY_S[batch] / batch)))


def two_stages(arrivals_s: FloatArray, batch: int, sigma: float | None) -> Callable[[], Engine]:
    """Two equal stages, reconfigured every 10 s for the load of the last 10 s; the decisions are made beforehand."""
    service = ServiceTime(LATENCY_S, None if sigma is None else (sigma,) * len(LATENCY_S))
    models = [StageModel(name, {("v", 1): service}, {"v": 4.0}, 10.0) for name in ("first", "second")]
    edges_s = np.arange(0.0, DURATION_S + INTERVAL_S, INTERVAL_S)
    rates_rps = np.histogram(arrivals_s, edges_s)[0] / INTERVAL_S

    def configuration(rate_rps: float) -> dict[str, StageConfiguration]:
        wanted = StageConfiguration("v", batch, replicas_for(rate_rps, batch), BATCH_TIMEOUT_S, 1)
        return {"first": wanted, "second": wanted}

    decided = [configuration(rate_rps) for rate_rps in rates_rps]

    def run() -> Engine:
        engine = Engine(models, World(DURATION_S, 100.0), arrivals_s, decided[0], seed=1)
        decisions = iter(decided)
        times_s = iter(edges_s[1:-1].tolist())
        engine.run(times_s, lambda: engine.apply(next(decisions)))
        return engine

    return run


def naive_two_stages(arrivals_s: FloatArray, batch: int, rate_rps: float) -> Callable[[], object]:
    """The same stages in the naive model, with the replicas of the peak all along."""
    stage = {
        "replicas": replicas_for(rate_rps, batch),
        "batch": batch,
        "batch_timeout_s": BATCH_TIMEOUT_S,
        "latency_s": list(LATENCY_S),
    }
    return lambda: naive.simulate(arrivals_s.tolist(), [stage, stage])


def main() -> None:
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    console.print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    )

    table = Table(title="Two stages, 20 minutes: requests per processor second", box=SIMPLE_HEAD, title_justify="left")
    for name in ("load", "batch", "service times", "requests", "this model", "naive SimPy", "ratio"):
        table.add_column(name, justify="right")
    for rate_rps, batch, sigma in ((25.0, 4, None), (25.0, 4, 0.1), (25.0, 1, 0.1), (250.0, 8, 0.1)):
        arrivals_s = arrivals(rate_rps)
        spent_s = cpu_s(two_stages(arrivals_s, batch, sigma))
        peak_rps = float(np.histogram(arrivals_s, np.arange(0.0, DURATION_S + 1, INTERVAL_S))[0].max() / INTERVAL_S)
        naive_s = cpu_s(naive_two_stages(arrivals_s, batch, peak_rps), 1 if rate_rps > 100 else 3)
        table.add_row(
            f"{rate_rps:g}/s",
            str(batch),
            "fixed" if sigma is None else "lognormal",
            str(len(arrivals_s)),
            f"{len(arrivals_s) / spent_s:,.0f}",
            f"{len(arrivals_s) / naive_s:,.0f}",
            f"{naive_s / spent_s:.1f}",
        )
    console.print(table)

    table = Table(
        title="One 20-minute run of video, decisions, records and tables included",
        box=SIMPLE_HEAD,
        title_justify="left",
    )
    for name in ("policy", "requests", "decisions", "processor s"):
        table.add_column(name, justify="right")
    for policy in ("ipa", "scale-only:low", "switch-only"):
        scenario = Scenario(pipeline="video").with_values({"policy": policy})
        run = simulate(scenario)
        spent_s = cpu_s(lambda scenario=scenario: simulate(scenario).tables)
        table.add_row(policy, str(run.summary["requests"]), str(run.summary["decisions"]), f"{spent_s:.3f}")
    console.print(table)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    console.print(f"Peak memory: {peak_mb:.0f} MB")


if __name__ == "__main__":
    main()

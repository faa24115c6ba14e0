"""This project's engines beside a naive model, and what whole runs take."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import get_args

import numpy as np

from ipa import traces
from ipa.policies import StageConfiguration
from ipa.profiles import Edge, Graph
from ipa.sim import Engine, FloatArray, RunInput, ServiceTime, StageModel, World, create_engine
from ipa.sim.events import SimPyEngine
from ipa.studies import Scenario, simulate
from tests.programs.benchmarks import naive
from tests.programs.benchmarks.tables import Column, Table, Value, cpu_s

SIMPY, COMPILED = "SimPy engine", "compiled engine"
ENGINES: dict[str, Callable[..., Engine]] = {SIMPY: SimPyEngine}
if find_spec("numba") is not None:
    from ipa.sim.compiled import CompiledEngine

    ENGINES[COMPILED] = CompiledEngine

REPEATS = 5
DURATION_S = 1200.0
BATCH_TIMEOUT_S = 0.1
LATENCY_S = tuple(0.03 + 0.02 * size for size in range(65))
INTERVAL_S = 10.0
CASES = ((25.0, 4, None), (25.0, 4, 0.1), (25.0, 1, 0.1), (250.0, 8, 0.1), (2500.0, 8, 0.1))
"""Mean load, batch size, sigma of the service times."""

MOST_NAIVE_RPS = 250.0
"""The naive model takes minutes for more."""

POLICIES = ("ipa", "scale-only:low", "switch-only")


def engines() -> Table:
    """Requests per processor second of each engine and of the naive model."""
    return Table(
        name="engines",
        title="Two stages, 20 minutes, reconfigured every 10 s: requests per processor second",
        columns=(
            Column("load_rps", "load /s", "g"),
            Column("batch", "batch", "d"),
            Column("service", "service times"),
            Column("requests", "requests", ",d"),
            Column("naive_rps", "naive SimPy", ",.0f"),
            Column("simpy_rps", "SimPy engine", ",.0f"),
            Column("compiled_rps", "compiled engine", ",.0f"),
            Column("simpy_times_naive", "SimPy / naive", ".1f"),
            Column("compiled_times_naive", "compiled / naive", ".0f"),
            Column("compiled_times_simpy", "compiled / SimPy", ".1f"),
        ),
        rows=tuple(_engine_row(*case) for case in CASES),
        notes=("The naive model has the peak's replicas all along: it cannot be reconfigured.",),
    )


def whole_runs() -> Table:
    """Processor seconds of whole runs, by policy and engine."""
    return Table(
        name="runs",
        title="One 20-minute run of video, its decisions, records and tables included: processor seconds",
        columns=(
            Column("policy", "policy"),
            Column("engine", "engine"),
            Column("requests", "requests", ",d"),
            Column("decisions", "decisions", "d"),
            Column("spent_s", "processor s", ".3f"),
        ),
        rows=tuple(_run_row(policy, engine) for policy in POLICIES for engine in _engine_names()),
    )


def arrivals(rate_rps: float) -> FloatArray:
    """20 minutes of the bursty workload, brought to a mean rate."""
    trace = traces.find("bursty", seed=1)
    rng = np.random.default_rng(1)
    factor = rate_rps * trace.duration_s / trace.requests
    return traces.arrivals(trace.scaled(factor, "thin", rng), "poisson", rng)


def replicas_for(rate_rps: float, batch: int) -> int:
    """Enough for 1.25 times the load."""
    return max(1, int(np.ceil(1.25 * rate_rps * LATENCY_S[batch] / batch)))


GRAPHS = {
    "chain": None,
    "the chain as a graph": Graph((Edge("first", "second"),), 1.0),
    "1 item on average": Graph((Edge("first", "second", items=1.0, spread=1.0, persist_s=1.0),), 1.0),
    "half of the items twice": Graph((Edge("first", "second", items=2.0, share=0.5),), 1.0),
}
"""Ways in which the second stage gets as many items as the first has requests."""


def graphs() -> Table:
    """What an item of a graph takes beside a request at a stage of a chain."""
    rows: list[dict[str, Value]] = []
    for engine in _engine_names():
        rate_rps, batch, sigma = CASES[3] if engine == "compiled" else CASES[1]
        make = partial(create_engine, engine)
        chain_s = 0.0
        for name, graph in GRAPHS.items():
            run = two_stages(arrivals(rate_rps), batch, sigma, graph)
            run(make)  # compiled code is compiled, or loaded, by now
            spent_s = cpu_s(partial(run, make), REPEATS)
            chain_s = chain_s or spent_s
            items = 2 * rate_rps * DURATION_S
            figures: dict[str, Value] = {"items_per_s": items / spent_s, "ratio": spent_s / chain_s}
            rows.append({"engine": engine, "load_rps": rate_rps, "graph": name, **figures})
    return Table(
        name="graphs",
        title="The same two stages as a graph: items per processor second",
        columns=(
            Column("engine", "engine"),
            Column("load_rps", "load /s", "g"),
            Column("graph", "stages"),
            Column("items_per_s", "items", ",.0f"),
            Column("ratio", "time / that of the chain", ".1f"),
        ),
        rows=tuple(rows),
        notes=("Each visit of a stage is an item, about as many in all four.",),
    )


def two_stages(
    arrivals_s: FloatArray, batch: int, sigma: float | None, graph: Graph | None = None
) -> Callable[[Callable[..., Engine]], None]:
    """Two equal stages, reconfigured every 10 s for the load of the last 10 s; the decisions are made beforehand.

    To be called with what makes an engine."""
    service = ServiceTime(LATENCY_S, None if sigma is None else (sigma,) * len(LATENCY_S))
    models = [StageModel(name, {("v", 1): service}, {"v": 4.0}, 10.0) for name in ("first", "second")]
    edges_s = np.arange(0.0, DURATION_S + INTERVAL_S, INTERVAL_S)
    rates_rps = np.histogram(arrivals_s, edges_s)[0] / INTERVAL_S

    def configuration(rate_rps: float) -> dict[str, StageConfiguration]:
        wanted = StageConfiguration("v", batch, replicas_for(rate_rps, batch), BATCH_TIMEOUT_S, 1)
        return {"first": wanted, "second": wanted}

    decided = [configuration(rate_rps) for rate_rps in rates_rps]

    def run(make: Callable[..., Engine]) -> None:
        engine = make(RunInput(models, World(DURATION_S, 100.0), arrivals_s, 1, graph), decided[0])
        decisions = iter(decided)
        for _ in engine.steps(iter(edges_s[1:-1].tolist())):
            engine.apply(next(decisions))

    return run


def naive_two_stages(arrivals_s: FloatArray, batch: int) -> Callable[[], object]:
    """The same stages in the naive model, with the replicas of the peak all along."""
    edges_s = np.arange(0.0, DURATION_S + INTERVAL_S, INTERVAL_S)
    peak_rps = float(np.histogram(arrivals_s, edges_s)[0].max() / INTERVAL_S)
    stage = {
        "replicas": replicas_for(peak_rps, batch),
        "batch": batch,
        "batch_timeout_s": BATCH_TIMEOUT_S,
        "latency_s": list(LATENCY_S),
    }
    return lambda: naive.simulate(arrivals_s.tolist(), [stage, stage])


def _engine_row(rate_rps: float, batch: int, sigma: float | None) -> dict[str, Value]:
    arrivals_s = arrivals(rate_rps)
    run = two_stages(arrivals_s, batch, sigma)
    rates_rps: dict[str, float] = {}
    for name, make in ENGINES.items():
        run(make)  # compiled code is compiled, or loaded, by now
        rates_rps[name] = len(arrivals_s) / cpu_s(partial(run, make), REPEATS if rate_rps < 1000 else 1)
    if rate_rps <= MOST_NAIVE_RPS:
        naive_s = cpu_s(naive_two_stages(arrivals_s, batch), 1 if rate_rps > 100 else 3)
        rates_rps["naive"] = len(arrivals_s) / naive_s

    def ratio(one: str, other: str) -> float | None:
        return rates_rps[one] / rates_rps[other] if one in rates_rps and other in rates_rps else None

    return {
        "load_rps": rate_rps,
        "batch": batch,
        "service": "fixed" if sigma is None else "lognormal",
        "requests": len(arrivals_s),
        "naive_rps": rates_rps.get("naive"),
        "simpy_rps": rates_rps.get(SIMPY),
        "compiled_rps": rates_rps.get(COMPILED),
        "simpy_times_naive": ratio(SIMPY, "naive"),
        "compiled_times_naive": ratio(COMPILED, "naive"),
        "compiled_times_simpy": ratio(COMPILED, SIMPY),
    }


def _engine_names() -> list[str]:
    return [name for name in get_args(Scenario.model_fields["engine"].annotation) if name != "auto"]


def _run_row(policy: str, engine: str) -> dict[str, Value]:
    scenario = Scenario(pipeline="video").with_values({"policy": policy, "engine": engine})
    run = simulate(scenario)
    return {
        "policy": policy,
        "engine": engine,
        "requests": run.summary["requests"],
        "decisions": run.summary["decisions"],
        "spent_s": cpu_s(lambda: simulate(scenario).tables, REPEATS),
    }

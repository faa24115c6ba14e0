"""What grows with the size of a question: a sweep with its runs, a run with its stages and replicas.

`python -m tests.programs.benchmarks.sizes 1000` makes one sweep of so many runs and prints its row as JSON.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from functools import partial
from time import perf_counter, process_time

import numpy as np

from ipa.policies import StageConfiguration
from ipa.sim import RunInput, ServiceTime, StageModel, World, choose_engine, stream
from ipa.studies.many.sweeps import sweep
from ipa.studies.many.workers import cores
from tests.programs.benchmarks.tables import Column, Table, Value, cpu_s
from tests.programs.benchmarks.tandem.ours import COMPILED, ENGINES, SIMPY

SWEEPS = (1_000, 10_000, 40_000)
SEEDS = 100
LOAD = "constant:5:30"
"""Runs of half a minute: what is measured is the sweep around them."""

STAGES = (1, 2, 5, 10, 20)
REPLICAS = (1, 10, 50, 100, 500)
USUAL_STAGES, USUAL_REPLICAS = 2, 10
REQUESTS = 20_000
BATCH, UTILISATION = 4, 0.8
LATENCY_S = tuple(0.03 + 0.02 * size for size in range(BATCH + 1))


def growth() -> Table:
    """Sweeps of more and more runs, each in a process of its own, which hands out its runs and keeps them."""
    command = [sys.executable, "-m", "tests.programs.benchmarks.sizes"]
    rows = (subprocess.check_output([*command, str(runs)], text=True) for runs in SWEEPS)
    return Table(
        name="growth",
        title=f"Sweeps of half-minute runs on {cores()} processes: what the parent takes",
        columns=(
            Column("runs", "runs", ",d"),
            Column("elapsed_s", "elapsed s", ".1f"),
            Column("parent_ms", "parent's processor ms /run", ".3f"),
            Column("parent_mb", "parent's MB at most", ",.0f"),
        ),
        rows=tuple(json.loads(row) for row in rows),
    )


def sizes() -> Table:
    """Processor time for a request at a stage, by the number of stages and of replicas."""
    questions = [(stages, USUAL_REPLICAS) for stages in STAGES]
    questions += [(USUAL_STAGES, replicas) for replicas in REPLICAS if replicas != USUAL_REPLICAS]
    return Table(
        name="sizes",
        title=f"Stages in a row, batches of {BATCH}, {REQUESTS:,} requests: processor ns for a request at a stage",
        columns=(
            Column("stages", "stages", "d"),
            Column("replicas", "replicas of each", "d"),
            Column("simpy_ns", "SimPy engine", ",.0f"),
            Column("compiled_ns", "compiled engine", ",.0f"),
        ),
        rows=tuple(_size_row(*question) for question in questions),
    )


def _size_row(stages: int, replicas: int) -> dict[str, Value]:
    row: dict[str, Value] = {"stages": stages, "replicas": replicas}
    for name, key in ((SIMPY, "simpy_ns"), (COMPILED, "compiled_ns")):
        if name in ENGINES:
            simulate = partial(_simulate, name, stages, replicas)
            simulate()  # compiled code is compiled, or loaded, by now
            row[key] = 1e9 * cpu_s(simulate, 3) / (stages * REQUESTS)
    return row


def _simulate(engine: str, stages: int, replicas: int) -> None:
    gap_s = LATENCY_S[BATCH] / (BATCH * replicas * UTILISATION)
    arrivals_s = np.cumsum(stream(1, "arrivals").exponential(gap_s, REQUESTS))
    service = ServiceTime(LATENCY_S, (0.1,) * len(LATENCY_S))
    models = [StageModel(str(stage), {("v", 1): service}, {"v": 4.0}, 1e9) for stage in range(stages)]
    configuration = {model.name: StageConfiguration("v", BATCH, replicas, 0.1, 1) for model in models}
    world = World(float(arrivals_s[-1]), 1e9)
    for _ in ENGINES[engine](RunInput(models, world, arrivals_s, 1), configuration).steps(iter(())):
        pass


def _growth_row(runs: int) -> dict[str, Value]:
    """A sweep in this process, of which the time and memory are."""
    choose_engine("auto")  # loaded here, as by the command, before there are workers
    alphas = [round(0.2 + 0.01 * number, 2) for number in range(runs // SEEDS)]
    began_s, spent_before_s = perf_counter(), process_time()
    table = sweep("video", {"policy.alpha": alphas}, seeds=SEEDS, values={"trace": LOAD})
    elapsed_s, spent_s = perf_counter() - began_s, process_time() - spent_before_s
    assert len(table) == runs
    most_bytes = 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"runs": runs, "elapsed_s": elapsed_s, "parent_ms": 1e3 * spent_s / runs, "parent_mb": most_bytes / 2**20}


if __name__ == "__main__":
    print(json.dumps(_growth_row(int(sys.argv[1]))))

"""Many 20-minute runs in one call, and where the time of one run goes.

`python -m tests.programs.benchmarks.many_runs 10000 2` makes that many runs on so many processes.
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from inspect import isgenerator
from itertools import count
from pathlib import Path
from pkgutil import resolve_name
from statistics import median
from time import perf_counter, process_time, thread_time
from typing import Any, NamedTuple
from unittest.mock import patch

from rich.console import Console

from ipa.sim import choose_engine
from ipa.studies import Scenario, simulate, summaries
from ipa.studies.many.workers import cores, run_all
from ipa.traces import TRACE_VARIABLE
from tests.programs.benchmarks.tables import Column, Table, Value

RUN: dict[str, Any] = {"pipeline": "video", "trace": "twitter:bursty" if TRACE_VARIABLE in os.environ else "bursty"}
"""On the published window where the real trace is known, else on the synthetic load, which each seed draws anew."""
IDLE = f"{Path(__file__).with_name('constant.py')}:Constant"
"""A policy that always answers the same."""
REPEATS = 30
SEEDS = 100
CHUNK = {"compiled": 50, "simpy": 6}
"""Runs per task of a worker: half a second of them, as sweeps hand out. The end waits for the last task alone."""

RUNS = {"compiled": 2000, "simpy": 200}
"""As many as `make bench` makes on each number of processes."""

PARTS: dict[str, tuple[str, ...]] = {
    "preparing": ("ipa.studies.runs.run.prepare", "ipa.studies.runs.run.describe"),
    "arrivals": ("ipa.studies.scenario.shared.Shared.arrivals", "ipa.sim.simulate.LoadView"),
    "observing": ("ipa.sim.backend.SimulatedBackend.observe",),
    "forecasting": (
        "ipa.sim.simulate._Forecasts.make",
        "ipa.policies.predictors.outlook.Outlook.rps",
    ),
    "programme": ("ipa.policies.ipa.OptimisingPolicy.decide_for",),
    "checking": ("ipa.policies.controller.check_decision",),
    "control, the rest": (
        "ipa.policies.controller.Controller.wish",
        "ipa.policies.controller.Controller.carry_out",
    ),
    "engine": (
        "ipa.sim.engines.create_engine",
        "ipa.sim.compiled.engine.CompiledEngine.steps",
        "ipa.sim.events.engine.SimPyEngine.steps",
    ),
    "records": ("ipa.sim.records.collect_records", "ipa.sim.records.records_of_none"),
    "laws": ("ipa.sim.laws.check", "ipa.sim.laws.check_totals"),
    "totals": (
        "ipa.sim.simulate.totals_of",
        "ipa.studies.runs.run.summary_of",
        "ipa.sim.simulate._Keeping.receive",
        "ipa.sim.simulate._Keeping.results",
    ),
    "tables": ("ipa.studies.runs.run.tables_from",),
}
"""Where the time of a run goes, and in which functions; what one of them calls of another counts there alone."""


def parts() -> Table:
    """Processor milliseconds of one run by part, with all records and with none."""
    seeds = count(1)
    spent = {records: _by_part(records, seeds) for records in ("all", "none")}
    names = [name for name in (*PARTS, "the rest") if any(name in each for each in spent.values())]
    rows: list[dict[str, Value]] = [
        {"part": name, **{f"{records}_ms": each.get(name, 0.0) for records, each in spent.items()}} for name in names
    ]
    rows.append({"part": "whole run", **{f"{records}_ms": sum(each.values()) for records, each in spent.items()}})
    idle: dict[str, Value] = {f"{records}_ms": median(_whole_ms(records, seeds, IDLE)) for records in spent}
    rows.append({"part": "whole run, decisions for nothing", **idle})
    return Table(
        name="parts",
        title="20-minute runs of video, ipa: processor ms of one, by part",
        columns=(
            Column("part", "part"),
            Column("all_ms", "all records, tables", ".2f"),
            Column("none_ms", "--set records=none", ".2f"),
        ),
        rows=tuple(rows),
        notes=("The whole is measured by itself; the parts are their shares of runs in which each part is timed.",),
    )


def many_runs() -> Table:
    """Runs a minute in one call for many, on one process and on two."""
    engines = [engine for engine in RUNS if engine == choose_engine("auto") or engine == "simpy"]
    rows = []
    for engine in engines:
        alone = made(RUNS[engine], 1, engine)
        rows.append(alone.row(engine, alone))
        if cores() > 1:
            rows.append(made(RUNS[engine], 2, engine).row(engine, alone))
    return Table(
        name="many",
        title="Many 20-minute runs of video: ipa, 100 seeds, alpha and load_margin varied, --set records=none",
        columns=(
            Column("engine", "engine"),
            Column("processes", "processes", "d"),
            Column("runs", "runs", ",d"),
            Column("runs_per_minute", "runs /minute", ",.0f"),
            Column("spent_ms", "processor ms /run", ".2f"),
            Column("scheduling_ms", "scheduling ms /run", ".3f"),
            Column("times", "times one process", ".2f"),
            Column("memory_mb", "MB, all processes", ",.0f"),
        ),
        rows=tuple(rows),
    )


class Made(NamedTuple):
    """What many runs took: elapsed, on the workers' processors and on this one's, and the memory of all processes."""

    runs: int
    processes: int
    elapsed_s: float
    spent_s: float
    scheduling_s: float
    memory_bytes: float

    def row(self, engine: str, alone: Made) -> dict[str, Value]:
        """The row of the table; `alone`: on one process."""
        return {
            "engine": engine,
            "processes": self.processes,
            "runs": self.runs,
            "runs_per_minute": 60.0 * self.runs / self.elapsed_s,
            "spent_ms": 1e3 * self.spent_s / self.runs,
            "scheduling_ms": 1e3 * self.scheduling_s / self.runs if self.processes > 1 else None,
            "times": alone.elapsed_s / alone.runs / (self.elapsed_s / self.runs),
            "memory_mb": self.memory_bytes / 2**20 or None,
        }


class Done(NamedTuple):
    """A chunk of runs: in which process, how long on its processor, and its memory since."""

    process: int
    spent_s: float
    memory_bytes: float


def made(runs: int, processes: int, engine: str) -> Made:
    """Make so many runs, the seeds of each setting one after the other."""
    scenarios = [
        Scenario(**RUN, engine=engine, records="none", seed=seed, policy={"name": "ipa", **_setting(number)})  # type: ignore[arg-type]
        for number in range(-(-runs // SEEDS))
        for seed in range(1, 1 + SEEDS)
    ][:runs]
    simulate(scenarios[0])  # compiled code is loaded by now
    chunks = [scenarios[at : at + CHUNK[engine]] for at in range(0, runs, CHUNK[engine])]
    done: list[Done] = []
    began_s, spent_before_s = perf_counter(), process_time()
    run_all(_run, chunks, processes, lambda _, each: done.append(each))
    elapsed_s, here_s = perf_counter() - began_s, process_time() - spent_before_s
    memory = {each.process: each.memory_bytes for each in done} | {os.getpid(): _memory_bytes()}
    return Made(runs, processes, elapsed_s, sum(each.spent_s for each in done), here_s, sum(memory.values()))


def _setting(number: int) -> dict[str, float]:
    return {"alpha": 0.2 + 0.05 * (number % 20), "load_margin": 0.02 * (number // 20)}


def _run(scenarios: Sequence[Scenario]) -> Done:
    before_s = process_time()
    for answer in summaries(scenarios):
        assert isinstance(answer, dict), answer
    return Done(os.getpid(), process_time() - before_s, _memory_bytes())


def _memory_bytes() -> float:
    """This process's memory, what it shares with others counted in parts; 0 where the system does not say."""
    try:
        lines = Path("/proc/self/smaps_rollup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0.0
    return sum(1024.0 * float(line.split()[1]) for line in lines if line.startswith("Pss:"))


def _by_part(records: str, seeds: Iterator[int]) -> dict[str, float]:
    """Part -> processor milliseconds of a run; they add up to the median of whole runs."""
    whole_ms = _whole_ms(records, seeds, "ipa")
    with _watched() as spent_s:
        before_s = thread_time()
        for _ in range(REPEATS):
            _run_once(records, next(seeds), "ipa")
        total_s = thread_time() - before_s
    spent_s["the rest"] = total_s - sum(spent_s.values())
    return {name: median(whole_ms) * each_s / total_s for name, each_s in spent_s.items()}


def _run_once(records: str, seed: int, policy: str) -> None:
    finished = simulate(Scenario(**RUN, records=records, seed=seed, policy=policy))  # type: ignore[arg-type]
    if records == "all":
        finished.tables  # noqa: B018


def _whole_ms(records: str, seeds: Iterator[int], policy: str) -> list[float]:
    """The processor milliseconds of whole runs, after some that are not timed."""
    spent_ms = []
    for _ in range(3 + REPEATS):
        before_s = process_time()
        _run_once(records, next(seeds), policy)
        spent_ms.append(1e3 * (process_time() - before_s))
    return spent_ms[3:]


@contextmanager
def _watched() -> Iterator[dict[str, float]]:
    """Within it, adds up the processor time of each part, without that of parts that it calls."""
    spent_s: defaultdict[str, float] = defaultdict(float)
    inner_s = [0.0]  # of the calls under way, the time of the parts that they have called

    def timed(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            inner_s.append(0.0)
            began_s = thread_time()
            try:
                found = function(*arguments, **named)
            finally:
                took_s = thread_time() - began_s
                spent_s[part] += took_s - inner_s.pop()
                inner_s[-1] += took_s
            return iter(timed(part, partial(next, found, None)), None) if isgenerator(found) else found

        return call

    with ExitStack() as stack:
        for part, places in PARTS.items():
            for place in places:
                owner, _, name = place.rpartition(".")
                found = resolve_name(owner)
                stack.enter_context(patch.object(found, name, timed(part, getattr(found, name))))
        yield spent_s


def main() -> None:
    runs, processes = int(sys.argv[1]), int(sys.argv[2])
    engine = sys.argv[3] if len(sys.argv) > 3 else choose_engine("auto")
    took = made(runs, processes, engine)
    row = took.row(engine, took)
    Console(highlight=False).print({key: row[key] for key in row if key != "times"})


if __name__ == "__main__":
    main()

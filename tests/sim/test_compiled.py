"""Law L7: the compiled engine equals the SimPy model, request by request, bit by bit; and what comes with compiling."""

from __future__ import annotations

import gc
import os
import pickle
import shutil
import subprocess
import sys
from math import exp
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ipa
import tests
from ipa import sim
from ipa.policies import StageConfiguration, to_line
from ipa.sim import EngineError, Records, choose_engine
from ipa.sim.engines import create_engine
from ipa.sim.model import RunInput, ServiceTime, StageModel, World
from ipa.sim.records import collect_records
from ipa.studies import Run, Scenario, find, prepare, simulate
from tests.sim import engine_runs
from tests.sim.blocks import blocks
from tests.sim.random_scenarios import scenario, ways
from tests.sim.test_engines import MODES, differences

numba = pytest.importorskip("numba")

from ipa.sim.compiled import jit  # noqa: E402 - where there is numba
from ipa.sim.compiled.kernel import advance  # noqa: E402

BLOCK = 25


# ---- the same records, where random scenarios do not lead ----


@pytest.mark.long
@pytest.mark.parametrize("block", blocks(6))
@pytest.mark.parametrize("shortest_s", [0.0, 0.75 * 2.0**-51])
@pytest.mark.parametrize(("dispatch", "drop"), MODES)
def test_batches_that_end_as_they_begin_change_nothing(dispatch: str, drop: str, shortest_s: float, block: int) -> None:
    """An instant then leads through several stages and back.

    0.75 x 2^-51 s added to a time below 4 s count as 2^-51 s, beyond that as nothing.
    """
    assert 4.0 + shortest_s == 4.0
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        drawn = scenario(seed, dispatch=dispatch, drop=drop, **ways(seed))
        for stage in drawn["stages"]:
            for variant in stage["variants"].values():
                for latency_s in variant["latency_s"].values():
                    latency_s.update({size: shortest_s for size in latency_s if (seed + size) % 2})
        simpy, compiled = (engine_runs.run(drawn, seed, engine) for engine in ("simpy", "compiled"))
        assert list(differences(simpy, compiled)) == [], f"seed {seed}"


def crowded(engine: str, dispatch: str) -> Records:
    """10,000 requests, each a batch of its own, whose replicas are replaced again and again by more of them.

    Both stages draw more than two blocks of random numbers, and have had far more replicas than there is room for at
    first.
    """
    service = ServiceTime((0.0, 0.01), (0.0, 0.5))
    models = [StageModel(name, {("v", 1): service, ("v", 2): service}, {"v": 0.05}, 2.0) for name in ("a", "b")]
    decisions = [
        {model.name: StageConfiguration("v", 1, 1 + 7 * step, 0.0, 1 + step % 2) for model in models}
        for step in range(12)
    ]
    arrivals_s = np.linspace(0.0, 11.9, 10_000)
    world = World(12.0, 50.0, max_surge=3, dispatch=dispatch)
    run = create_engine(engine, RunInput(models, world, arrivals_s, 3), decisions[0])
    steps = iter(decisions[1:])
    for _ in run.steps(iter(range(1, 12))):
        run.apply(next(steps))
    return collect_records(run)


@pytest.mark.parametrize("dispatch", [pytest.param("central", marks=pytest.mark.long), "eager"])
def test_draws_and_room_are_there_when_they_are_needed(dispatch: str) -> None:
    records = crowded("compiled", dispatch)
    assert records.batch.max() > 2 * sim.streams.BLOCK
    assert min(len(replicas.variant) for replicas in records.replicas) > 200
    assert list(differences(crowded("simpy", dispatch), records)) == []


# ---- the same runs under a policy: what it sees is the same as well ----

WANDERING = '''
from random import Random

from ipa.policies import Decision, StageConfiguration


class Wandering:
    """Another configuration at every step, drawn from what it sees of the queues."""

    reads = ("latency", "busy_fraction", "concurrency", "future_rps")

    def __init__(self, pipeline):
        self.pipeline = pipeline

    def decide(self, observation, memory):
        seen = [(stage.queue_length, stage.in_service, stage.completions) for stage in observation.stages.values()]
        means = [stage.concurrency for stage in observation.stages.values()]
        draw = Random(repr((observation.step, seen, means, observation.latency)))
        return Decision({stage.name: self.drawn(stage, draw) for stage in self.pipeline.stages}, {})

    def drawn(self, stage, draw):
        variant = draw.choice(stage.variants)
        cores = draw.choice(variant.cores)
        batch = draw.randint(1, variant.max_batch(cores))
        return StageConfiguration(variant.name, batch, draw.randint(1, 5), draw.choice([0.0, 0.3, 2.0]), cores)
'''

WORLDS: list[dict[str, Any]] = [
    {"policy": "ipa"},
    {"policy": "ipa", "journal": "full", "start": "configured", "max_surge": 0, "max_unavailable": 1},
    {"policy": "scale-only:low", "decision_delay_s": 3.0, "stop_s": 2.0, "limit_cores": 20},
    {"policy": "wandering"},
    {"policy": "wandering", "hop_s": 0.05, "stop_s": 1.5, "decision_delay_s": 12.5, "start_up_extra_s": 0.5},
    {"policy": "wandering", "dispatch": "eager", "interval_s": 2.5, "scale": 3.0, "arrivals": "clumped"},
    {"policy": "wandering", "drop": "batch", "interval_s": 4.0, "scale": 4.0, "service_times": "mean"},
    {"policy": "wandering", "dispatch": "eager", "drop": "batch", "sla_s": 0.4, "max_unavailable": 2},
    {"policy": "wandering", "drop": "deadline", "scale": 3.0, "decision_delay_s": 3.0},
    {"policy": "ipa", "drop": "deadline", "dispatch": "eager", "limit_cores": 2, "hop_s": 0.02, "scale": 8.0},
]


def run_in(world: dict[str, Any], engine: str, seed: int, folder: Path) -> Run:
    path = folder / "wandering.py"
    path.write_text(WANDERING)
    policy = f"{path}:Wandering" if world["policy"] == "wandering" else world["policy"]
    given = {"window": "0:90", **world, "policy": policy, "engine": engine, "seed": seed}
    return simulate(Scenario(pipeline="video").with_values(given))


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
@pytest.mark.parametrize("world", WORLDS, ids=lambda world: "-".join(map(str, world.values())))
def test_a_policy_sees_and_makes_the_same_in_both(world: dict[str, Any], seed: int, tmp_path: Path) -> None:
    simpy, compiled = (run_in(world, engine, seed, tmp_path) for engine in ("simpy", "compiled"))
    assert list(map(to_line, simpy.entries)) == list(map(to_line, compiled.entries))
    assert list(differences(simpy.records, compiled.records)) == []
    assert (simpy.summary["engine"], compiled.summary["engine"]) == ("simpy", "compiled")
    apart = ("engine", "wall_s")
    assert [simpy.summary[key] for key in simpy.summary if key not in apart] == [
        compiled.summary[key] for key in compiled.summary if key not in apart
    ]


def test_a_run_leaves_nothing_to_the_next(tmp_path: Path) -> None:
    """The memory of a run is used again by later ones; its records are its own."""
    first = run_in(WORLDS[3], "compiled", 1, tmp_path)
    kept = first.records.start_s.copy()
    gc.collect()
    run_in(WORLDS[4], "compiled", 2, tmp_path)
    again = run_in(WORLDS[3], "compiled", 1, tmp_path)
    assert np.array_equal(first.records.start_s, kept, equal_nan=True)
    assert list(differences(first.records, again.records)) == []


def test_memory_in_use_is_not_given_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    from ipa.sim.compiled import memory

    monkeypatch.setattr(memory, "_kept", [])  # what other runs have left
    kind = ((1000,), np.float64)
    one, other = memory.carve([kind])[0], memory.carve([kind])[0]
    address, part = one.ctypes.data, one[10:20]
    assert not np.shares_memory(one, other)
    del one
    third = memory.carve([kind])[0]
    assert not np.shares_memory(part, third)
    del part
    assert memory.carve([kind])[0].ctypes.data == address


# ---- compiling ----


def test_the_compiled_exponential_is_that_of_python() -> None:
    """The lognormal factors are one exp each: numba's must be the C library's, as Python's is."""

    @numba.njit  # type: ignore[untyped-decorator]
    def compiled(values: Any, results: Any) -> None:
        for i in range(len(values)):
            results[i] = numba_exp(values[i])

    rng = np.random.default_rng(1)
    values = np.concatenate([rng.normal(0.0, scale, 100_000) for scale in (1e-8, 0.1, 1.0, 100.0)])
    results = np.empty_like(values)
    compiled(values, results)
    assert results.tolist() == [exp(value) for value in values.tolist()]


numba_exp = exp


def test_auto_takes_the_compiled_engine_where_there_is_numba() -> None:
    assert choose_engine("auto") == choose_engine("compiled") == "compiled"
    assert choose_engine("simpy") == "simpy"


@pytest.mark.usefixtures("without_numba")
def test_without_numba_auto_takes_simpy_with_one_warning_and_compiled_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert choose_engine("auto") == "simpy"
    assert run_in(WORLDS[0], "auto", 1, tmp_path).summary["engine"] == "simpy"
    (warning,) = caplog.messages
    assert "SimPy" in warning
    assert "needs numba" in warning
    assert "\n" not in warning
    with pytest.raises(EngineError, match=r"needs numba.*pip install '.\[compiled\]' in the checkout.*simpy"):
        choose_engine("compiled")


@pytest.mark.usefixtures("without_numba")
def test_what_does_not_simulate_is_not_told_of_the_engine(caplog: pytest.LogCaptureFixture) -> None:
    """As a controller in a pod: `prepare` is for live runs too."""
    assert prepare(find("video", {"trace": "constant:1", "window": "0:10"})).pipeline.name == "video"
    assert caplog.messages == []


@pytest.mark.usefixtures("engine_sought_anew")
def test_where_the_kernel_does_not_compile_auto_takes_simpy_with_one_warning_and_compiled_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise numba.errors.TypingError("Failed in nopython mode pipeline\nUnsupported array index type float64")

    monkeypatch.setattr(jit, "_direct", {})
    monkeypatch.setattr(advance, "compile", fail)
    runs = [run_in(WORLDS[0], "auto", seed, tmp_path) for seed in (1, 2)]
    assert [run.summary["engine"] for run in runs] == ["simpy", "simpy"]
    (warning,) = caplog.messages
    assert "does not compile here: TypingError: Failed in nopython mode pipeline;" in warning
    assert "\n" not in warning
    with pytest.raises(EngineError, match=r"does not compile here.*use engine simpy"):
        choose_engine("compiled")


def test_an_unknown_engine_is_refused_by_name() -> None:
    with pytest.raises(EngineError, match="'fast'; allowed: auto, simpy, compiled"):
        choose_engine("fast")


ONE_RUN = """
import sys
from ipa.sim import must_compile
from tests.sim import engine_runs
from tests.sim.random_scenarios import scenario
said = must_compile("compiled")
records = engine_runs.run(scenario(5, dispatch="central", drop="request"), 5, "compiled")
kernel = sys.modules["ipa.sim.compiled.kernel"].advance
print(int((records.outcome == 1).sum()), sum(kernel.stats.cache_hits.values()))
print(said, must_compile("compiled"), must_compile("simpy"))
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what a run needs, with whatever the cache holds."""
    unneeded = shutil.ignore_patterns("live", "studies")
    shutil.copytree(Path(ipa.__file__).parent, tmp_path / "copy" / "ipa", ignore=unneeded)
    shutil.copytree(Path(tests.__file__).parent, tmp_path / "copy" / "tests")
    return tmp_path / "copy"


def one_run(copy: Path, **environment: str) -> tuple[int, int]:
    """How many requests a run in the copy dropped, and how often it found its kernel in the cache."""
    given = {**os.environ, "PYTHONPATH": str(copy), **environment}
    command = [sys.executable, "-c", ONE_RUN]
    done = subprocess.run(command, env=given, cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    dropped, hits, *said = done.stdout.split()
    # What a command says beforehand: that the kernel has to be compiled if it is not in the cache, and only then.
    assert said == [str(hits == "0"), "False", "False"]
    return int(dropped), int(hits)


@pytest.mark.long
def test_an_edited_rule_is_compiled_again(copy: Path) -> None:
    dropped, _ = one_run(copy)
    assert dropped > 0
    assert one_run(copy) == (dropped, 1)
    rules = copy / "ipa" / "sim" / "rules.py"
    text = rules.read_text()
    rules.write_text(text.replace("return now_s > arrival_s + limit_s", "return now_s > arrival_s + limit_s + 1e9"))
    assert one_run(copy) == (0, 0)


@pytest.mark.long
def test_a_cache_that_names_a_class_of_older_source_is_made_anew(copy: Path) -> None:
    dropped, _ = one_run(copy)
    for index in (copy / "ipa" / "sim" / "compiled" / "__pycache__").glob("*.nbi"):
        with index.open("rb") as file:
            version = pickle.load(file)
        index.write_bytes(pickle.dumps(version) + b"cipa.sim.compiled.memory\nNoSuchClass\n.")
    assert one_run(copy) == (dropped, 0)
    assert one_run(copy) == (dropped, 1)


@pytest.mark.long
def test_it_runs_where_nothing_can_be_cached(copy: Path, tmp_path: Path) -> None:
    """The folder for the cache is a file; the user's cache folder would have to be made below a file."""
    dropped, _ = one_run(copy)
    cache = copy / "ipa" / "sim" / "compiled" / "__pycache__"
    shutil.rmtree(cache)
    cache.write_text("")
    file = tmp_path / "file"
    file.write_text("")
    assert one_run(copy, HOME=str(file), XDG_CACHE_HOME=str(file), PYTHONDONTWRITEBYTECODE="1") == (dropped, 0)


AT_ONCE = """
from multiprocessing import get_context
from time import sleep
from ipa.sim.compiled.jit import direct, entry

@entry
def length(one, other):
    return 1 if other is None else 2

cache = length._cache._cache_file
save_index = cache._save_index
cache._save_index = lambda codes: (sleep(0.2), save_index(codes))  # long enough for another to come between

def compile_for(other, barrier):
    barrier.wait()
    result = direct(length, 0, other)(0, other)
    print(f"{result} {sum(length.stats.cache_misses.values())}\\n", end="", flush=True)  # in one piece

context = get_context("fork")
barrier = context.Barrier(6)
processes = [context.Process(target=compile_for, args=(other, barrier)) for other in [None, 1.0] * 3]
for process in processes:
    process.start()
for process in processes:
    process.join()
"""


@pytest.mark.long
def test_processes_that_need_the_same_code_at_once_compile_it_once(tmp_path: Path) -> None:
    """And what each of them adds to the cache, a later process finds there."""
    script = tmp_path / "at_once.py"
    script.write_text(AT_ONCE)
    for misses in ([0, 0, 1], [0, 0, 0]):
        done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
        lines = sorted(done.stdout.split("\n")[:-1])
        assert lines == [f"{result} {missed}" for result in (1, 2) for missed in misses], done.stderr


FLOATS_OF_KERNELS = """
import re
from numba.core import types
from numba.core.dispatcher import Dispatcher
from ipa.sim.compiled import dispatch, eager, heaps, kernel, rollout
from tests.sim import engine_runs
from tests.sim.random_scenarios import DEADLINE, scenario
for how, drop in [("central", "request"), ("eager", "request"), *DEADLINE]:
    engine_runs.run(scenario(1, dispatch=how, drop=drop), 1, "compiled")
for module in (dispatch, eager, heaps, kernel, rollout):
    for function in vars(module).values():
        for compiled in function.overloads.values() if isinstance(function, Dispatcher) else ():
            for name, type_ in compiled.type_annotation.typemap.items():
                own = re.sub(r"^.*_v\\d+_(?!_?v)|\\.\\d+", "", name)  # of what is inlined, without the caller's prefix
                if isinstance(type_, types.Float) and re.fullmatch(r"[a-z]\\w*", own) and "_v" not in own:
                    print(own)
"""


@pytest.mark.long
def test_no_whole_number_becomes_a_float_in_a_kernel(tmp_path: Path) -> None:
    """Numba joins signed with unsigned numbers to floats, and where branches meet depends on Python's bytecode."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", FLOATS_OF_KERNELS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    floats = set(done.stdout.split())
    assert {"now_s", "factor"} <= floats
    assert {name for name in floats if not name.endswith("_s")} == {"factor"}

"""The laws of the model (L1 to L10), read off the tables of random runs; and that a run's own check finds each broken.

A run here is a random pipeline under a random load, policy, world and mode. The laws are computed from the tables,
without the code that made them.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from io import BytesIO
from itertools import pairwise
from math import fsum, inf, isnan
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ipa import traces
from ipa.policies import (
    Configuration,
    Decision,
    Entry,
    Memory,
    Observation,
    Policy,
    StageConfiguration,
    create,
    lightest_configuration,
    read_journal,
    replay_journal,
    to_line,
)
from ipa.profiles import Figure, Pipeline, Stage, Variant
from ipa.sim import (
    ControlSettings,
    LawError,
    Records,
    RunInput,
    World,
    decisions_table,
    laws,
    replicas_table,
    requests_table,
    simulate_policy,
    stage_models,
    stages_table,
    stream,
    summarise,
)
from ipa.sim.records import COMPLETED, DROPPED, FAILED, UNFINISHED
from ipa.studies import Scenario, simulate
from ipa.traces import Trace
from tests.sim import engine_runs, graph_runs, oracle
from tests.sim.stories import Story, of
from tests.sim.test_stories import in_oracle_format

# ---- random runs ----


class Wandering:
    """Any configuration that the pipeline can have, drawn from (seed, step); keeps count of its steps in its memory."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def decide(self, observation: Observation, memory: Memory) -> Decision:
        """A draw for every stage; one time in three a stage keeps what it has."""
        rng = np.random.default_rng((observation.seed, observation.step))
        configuration = {}
        for stage in self._pipeline.stages:
            variant = stage.variants[rng.integers(len(stage.variants))]
            cores = int(rng.choice(variant.cores))
            batch = int(rng.integers(1, variant.max_batch(cores) + 1))
            wanted = StageConfiguration(
                variant.name, batch, int(rng.integers(1, 5)), float(rng.choice([0.0, 0.25, 1.0])), cores
            )
            keeps = rng.random() < 1 / 3
            configuration[stage.name] = observation.stages[stage.name].configuration if keeps else wanted
        return Decision(configuration, {"steps": memory.get("steps", 0) + 1})


@dataclass(frozen=True)
class Setting:
    """Everything that a run depends on."""

    pipeline: Pipeline
    policy: str
    trace: Trace
    arrivals: str
    sampled: bool
    world: World
    control: ControlSettings
    seed: int

    def new_policy(self) -> Policy:
        """The policy, made afresh."""
        if self.policy == "wandering":
            return Wandering(self.pipeline)
        parameters: dict[str, dict[str, Any]] = {
            "switch-only": {"replicas": {stage.name: 2 for stage in self.pipeline.stages}},
            "static": {"replicas": {stage.name: 2 for stage in self.pipeline.stages}},
        }
        return create(self.policy, self.pipeline, parameters.get(self.policy))

    def run(self) -> Finished:
        """The run of this setting."""
        arrivals_s = traces.arrivals(self.trace, self.arrivals, stream(self.seed, "arrivals"))
        simulated = simulate_policy(
            self.pipeline,
            self.new_policy(),
            RunInput(stage_models(self.pipeline, sampled=self.sampled), self.world, arrivals_s, self.seed),
            self.control,
            self.trace.history_counts.astype(float),
        )
        return Finished(self.pipeline, self.world, simulated.initial, tuple(simulated.entries), simulated.records)


@dataclass(frozen=True)
class Visit:
    """A request at a stage; infinite moments never came."""

    request: int
    enqueue_s: float
    start_s: float
    finish_s: float
    dropped_s: float
    replica: int
    batch: int
    batch_size: int


@dataclass(frozen=True)
class Finished:
    """A run that is over, as its tables show it."""

    pipeline: Pipeline
    world: World
    initial: Configuration
    entries: tuple[Entry, ...]
    records: Records

    @cached_property
    def tables(self) -> dict[str, pd.DataFrame]:
        return {
            "requests": requests_table(self.pipeline, self.records),
            "stages": stages_table(self.records),
            "decisions": decisions_table(self.pipeline, self.initial, self.entries),
            "replicas": replicas_table(self.records),
        }

    @cached_property
    def summary(self) -> dict[str, Any]:
        return summarise(self.pipeline, self.records, self.initial, self.entries, self.pipeline.sla_s, 1.0)

    @property
    def stages(self) -> list[str]:
        return [stage.name for stage in self.pipeline.stages]

    @cached_property
    def queues(self) -> dict[str, list[Visit]]:
        """The visits of each stage in the order of its queue.

        That is the order of enqueueing; of requests enqueued at the same moment the order of the batches that brought
        them (as they finished, else as they started), and within a batch the queue's order before.
        """
        table, requests = self.tables["stages"], self.tables["requests"]
        dropped_s = requests["end_s"].where(requests["outcome"] == "dropped")
        queues: dict[str, list[Visit]] = {}
        before: dict[int, tuple[float, int, int]] = {}
        for stage in self.stages:
            here = requests["dropped_stage"] == stage
            visits = [
                Visit(
                    int(row.request),
                    float(row.enqueue_s),
                    _never(row.start_s),
                    _never(row.finish_s),
                    _never(dropped_s[row.request] if here[row.request] else float("nan")),
                    int(row.replica),
                    int(row.batch),
                    int(row.batch_size),
                )
                for row in rows(table[table["stage"] == stage])
            ]
            visits.sort(key=lambda visit: (visit.enqueue_s, *before.get(visit.request, (0.0, 0, 0)), visit.request))
            queues[stage] = visits
            before = {visit.request: (visit.finish_s, visit.batch, place) for place, visit in enumerate(visits)}
        return queues

    def replicas(self, stage: str) -> pd.DataFrame:
        """The stage's replicas, moments that never came infinite."""
        table = self.tables["replicas"]
        return table[table["stage"] == stage].fillna(dict.fromkeys(("ready_s", "removed_s", "gone_s"), inf))

    @cached_property
    def in_force(self) -> dict[str, list[tuple[float, StageConfiguration]]]:
        """Per stage, since when which configuration was in force, from the decisions table."""
        since: dict[str, list[tuple[float, StageConfiguration]]] = {stage: [] for stage in self.stages}
        for row in rows(self.tables["decisions"]):
            wanted = StageConfiguration(row.variant, row.batch, row.replicas, row.batch_timeout_s, row.cores)
            since[row.stage].append((row.time_s + self.world.decision_delay_s if row.step else 0.0, wanted))
        return since

    def configured(self, stage: str, time_s: float) -> StageConfiguration:
        """What was in force at the end of an instant."""
        return [wanted for since_s, wanted in self.in_force[stage] if since_s <= time_s][-1]

    def largest_batch(self, stage: str, from_s: float, to_s: float) -> int:
        """The largest batch size in force at any time from one moment to another, both included."""
        since = [*self.in_force[stage], (inf, None)]
        return max(
            wanted.batch
            for (start_s, wanted), (end_s, _) in pairwise(since)
            if wanted is not None and start_s <= to_s and end_s >= from_s
        )


def rows(table: pd.DataFrame) -> Iterator[Any]:
    """The table row by row, columns as attributes."""
    return iter(table.itertuples())


def _never(time_s: Any) -> float:
    return inf if isnan(time_s) else float(time_s)


@st.composite
def pipelines(draw: st.DrawFn) -> Pipeline:
    """One to three stages, each with one to three variants on one or two allocations."""
    stages = []
    for name in "abc"[: draw(st.integers(1, 3))]:
        variants = [_variant(draw, f"{name}{number}") for number in range(draw(st.integers(1, 3)))]
        limit_s = draw(st.sampled_from([None, 0.5, 2.0]))
        sla_s = draw(st.sampled_from([0.5, 1.0, 3.0]))
        stages.append(Stage(name, "task", sla_s, 1.0, tuple(variants), drop_limit_s=limit_s))
    return Pipeline("random", "", tuple(stages))


def _variant(draw: st.DrawFn, name: str) -> Variant:
    # Quarters make many moments coincide, thirds make them just miss each other.
    unit_s = draw(st.sampled_from([0.25, 1 / 3, 0.1]))
    spread = draw(st.sampled_from([1.0, 1.5, 3.0]))
    largest = draw(st.sampled_from([1, 2, 4]))
    cores = draw(st.sampled_from([(1,), (2,), (1, 4)]))
    figures = [
        Figure(each, batch, mean_s, spread * mean_s, batch / mean_s)
        for each in cores
        for batch in sorted({1, largest})
        for mean_s in [unit_s * (1 + batch) / (2 if each == 4 else 1)]
    ]
    accuracy = draw(st.sampled_from([0.5, 0.7, 0.9, 1.0]))
    return Variant(name, accuracy, cores[0], draw(st.sampled_from([0.0, 0.5, 2.0])), tuple(figures))


@st.composite
def run_settings(
    draw: st.DrawFn, dispatch: str | None = None, sampled: bool | None = None, policy: str | None = None
) -> Setting:
    """Any setting; the arguments, where given, stand."""
    pipeline = draw(pipelines())
    counts = draw(st.lists(st.integers(0, 8), min_size=4, max_size=14))
    history = draw(st.lists(st.integers(0, 8), max_size=5))
    surge, unavailable = draw(st.sampled_from([(None, 0), (1, 0), (0, 1), (2, 1), (1, 2)]))
    policies = ["wandering", "wandering", "ipa", "scale-only", "switch-only", "static"]
    world = World(
        duration_s=float(len(counts)),
        bound_s=draw(st.sampled_from([0.5, 10.0 * pipeline.sla_s])),
        hop_s=draw(st.sampled_from([0.0, 0.0, 0.25])),
        stop_s=draw(st.sampled_from([0.0, 1.5])),
        decision_delay_s=draw(st.sampled_from([0.0, 0.0, 0.5, 3.0])),
        max_surge=surge,
        max_unavailable=unavailable,
        dispatch=dispatch or draw(st.sampled_from(["central", "eager"])),
        drop=draw(st.sampled_from(["request", "batch", "deadline"])),
        sla_s=pipeline.sla_s,
    )
    control = ControlSettings(
        interval_s=draw(st.sampled_from([1.0, 1.5, 4.0])),
        history_s=20,
        limit_cores=draw(st.sampled_from([None, None, 8])),
        initial=draw(st.sampled_from([None, lightest_configuration(pipeline)])),
        fields=draw(st.sampled_from([(), ("latency", "busy_fraction")])),
    )
    return Setting(
        pipeline=pipeline,
        policy=policy or draw(st.sampled_from(policies)),
        trace=Trace.of_counts("random", counts, history_counts=history),
        arrivals=draw(st.sampled_from(["poisson", "even", "clumped"])),
        sampled=draw(st.booleans()) if sampled is None else sampled,
        world=world,
        control=control,
        seed=draw(st.integers(0, 2**32)),
    )


def runs(**given_values: Any) -> st.SearchStrategy[Finished]:
    return run_settings(**given_values).map(Setting.run)


def law(strategy: Any, examples: int) -> Callable[[Callable[[Any], None]], Callable[[int], None]]:
    """A property test that draws the same cases every time: a sixth of them always, all in `make test-all`."""

    def decorate(holds: Callable[[Any], None]) -> Callable[[int], None]:
        def test(examples: int) -> None:
            slow = [HealthCheck.too_slow, HealthCheck.data_too_large]
            chosen = settings(max_examples=examples, derandomize=True, deadline=None, suppress_health_check=slow)
            chosen(given(strategy)(holds))()  # type: ignore[no-untyped-call]

        test.__name__, test.__doc__ = holds.__name__, holds.__doc__
        often = pytest.param(examples, marks=pytest.mark.long)
        return pytest.mark.parametrize("examples", [examples // 6, often])(test)

    return decorate


# ---- the laws ----


@law(runs(dispatch="central"), examples=250)
def test_every_law_holds_with_central_dispatch(run: Finished) -> None:
    for check in CHECKS["central"]:
        check(run)


@law(runs(dispatch="eager"), examples=200)
def test_every_law_holds_with_eager_dispatch(run: Finished) -> None:
    for check in CHECKS["eager"]:
        check(run)


def check_l1(run: Finished) -> None:
    """Every request ends in exactly one way."""
    requests, last = run.tables["requests"], run.stages[-1]
    finished = {visit.request for visit in run.queues[last] if visit.finish_s < inf}
    dropped = {visit.request for queue in run.queues.values() for visit in queue if visit.dropped_s < inf}
    assert not finished & dropped
    for row in rows(requests):
        ends = {"completed": row.request in finished, "dropped": row.request in dropped}
        assert row.outcome == next((name for name, has in ends.items() if has), "unfinished")
        assert isnan(row.end_s) == (row.outcome == "unfinished")
    counts = [run.summary[name] for name in ("completed", "dropped", "failed", "unfinished")]
    assert sum(counts) == run.summary["requests"] == len(requests)


def check_l2(run: Finished) -> None:
    """Times are in order, and the next enqueue is the finish plus the hop."""
    delivered_s = dict(enumerate(run.tables["requests"]["arrival_s"]))
    for stage in run.stages:
        reached = {visit.request: visit for visit in run.queues[stage]}
        on_time = {number for number, moment_s in delivered_s.items() if moment_s <= run.records.run_end_s}
        assert set(reached) == on_time
        for number, visit in reached.items():
            assert visit.enqueue_s == delivered_s[number]
            assert visit.enqueue_s <= visit.start_s <= visit.finish_s
            assert visit.dropped_s == inf or visit.start_s == inf
            assert visit.dropped_s >= visit.enqueue_s
        delivered_s = {number: visit.finish_s + run.world.hop_s for number, visit in reached.items()}


def check_l3_central(run: Finished) -> None:
    """Requests start in queue order."""
    for queue in run.queues.values():
        served = [visit for visit in queue if visit.start_s < inf]
        for earlier, later in pairwise(served):
            assert earlier.start_s <= later.start_s
            assert earlier.batch <= later.batch
        # Nobody overtakes one that still waits: what has not started is behind all that has, or was dropped.
        waiting = [visit for visit in queue if visit.start_s == inf and visit.dropped_s == inf]
        if served and waiting:
            assert queue.index(waiting[0]) > queue.index(served[-1])


def check_l3_eager(run: Finished) -> None:
    """Batches are formed in order and start in order at each replica.

    A batch is formed again, later, where its replica was removed: only that explains an inversion.
    """
    for stage, queue in run.queues.items():
        removals_s = [moment_s for moment_s in run.replicas(stage)["removed_s"] if moment_s < inf]
        place = {visit.request: number for number, visit in enumerate(queue)}
        served = sorted((visit for visit in queue if visit.start_s < inf), key=lambda visit: place[visit.request])
        by_replica: dict[int, list[Visit]] = {}
        by_batch: dict[int, list[int]] = {}
        for visit in served:
            by_replica.setdefault(visit.replica, []).append(visit)
            by_batch.setdefault(visit.batch, []).append(place[visit.request])
        for visits in by_replica.values():
            visits.sort(key=lambda visit: (visit.start_s, place[visit.request]))
            for first, then in pairwise(visits):
                if place[then.request] < place[first.request]:
                    assert any(first.enqueue_s <= moment_s <= then.start_s for moment_s in removals_s)
        if not removals_s:
            # A batch is a piece of the queue, but for what was dropped out of it.
            not_dropped = [place[visit.request] for visit in queue if visit.dropped_s == inf]
            for places in by_batch.values():
                first_place = not_dropped.index(places[0])
                assert not_dropped[first_place : first_place + len(places)] == places


def check_l4(run: Finished) -> None:
    """Batches are within the size in force, and replicas serve one at a time."""
    eager = run.world.dispatch == "eager"
    for stage, queue in run.queues.items():
        batches: dict[int, list[Visit]] = {}
        for visit in queue:
            if visit.start_s < inf:
                batches.setdefault(visit.batch, []).append(visit)
        assert sorted(batches) == list(range(len(batches)))
        replicas = run.replicas(stage)
        by_replica: dict[int, list[Visit]] = {}
        for members in batches.values():
            one = members[0]
            facts = [(each.start_s, each.finish_s, each.replica, each.batch_size) for each in members]
            assert set(facts) == {(one.start_s, one.finish_s, one.replica, len(members))}
            # Eager: a batch was formed at some time after its last member came, and the size in force then bound it.
            since_s = max(visit.enqueue_s for visit in members) if eager else one.start_s
            assert len(members) <= run.largest_batch(stage, since_s, one.start_s)
            replica = replicas.iloc[one.replica]
            variant = run.pipeline.stage(stage).variant(replica["variant"])
            assert len(members) <= variant.max_batch(replica.cores)
            assert replica["ready_s"] <= one.start_s <= replica["removed_s"]
            assert one.finish_s <= replica["gone_s"]  # busy never exceeds existing
            by_replica.setdefault(one.replica, []).append(one)
        for served in by_replica.values():
            served.sort(key=lambda visit: visit.start_s)
            assert all(before.finish_s <= after.start_s for before, after in pairwise(served))


def check_l5(run: Finished) -> None:
    """No ready replica idles while a batch could start.

    At the end of every instant at which anything happened, or a batch was due.
    """
    for stage, queue in run.queues.items():
        replicas = [row for row in rows(run.replicas(stage)) if row.ready_s < inf]
        moments_s = {since_s for since_s, _ in run.in_force[stage]}
        for visit in queue:
            moments_s |= {visit.enqueue_s, visit.start_s, visit.finish_s, visit.dropped_s}
            moments_s |= {visit.enqueue_s + wanted.batch_timeout_s for _, wanted in run.in_force[stage]}
        for row in replicas:
            moments_s |= {row.ready_s, row.removed_s, row.gone_s}
        served: dict[int, list[Visit]] = {row.replica: [] for row in replicas}
        for visit in queue:
            if visit.start_s < inf:
                served[visit.replica].append(visit)
        for now_s in sorted(moment_s for moment_s in moments_s if moment_s <= run.records.run_end_s):
            waiting = [visit for visit in queue if visit.enqueue_s <= now_s < min(visit.start_s, visit.dropped_s)]
            if not waiting:
                continue
            idle = [
                row.replica
                for row in replicas
                if row.ready_s <= now_s < row.removed_s
                and not any(visit.start_s <= now_s < visit.finish_s for visit in served[row.replica])
            ]
            if idle:
                wanted = run.configured(stage, now_s)
                assert len(waiting) < wanted.batch, (stage, now_s)
                assert now_s < waiting[0].enqueue_s + wanted.batch_timeout_s, (stage, now_s)


@law(run_settings(), examples=60)
def test_l6_the_same_setting_gives_the_same_bytes(setting: Setting) -> None:
    once, again = setting.run(), setting.run()
    for name, table in once.tables.items():
        assert table.equals(again.tables[name]), name
        assert parquet(table) == parquet(again.tables[name]), name
    assert [to_line(entry) for entry in once.entries] == [to_line(entry) for entry in again.entries]
    assert repr(once.summary) == repr(again.summary)


def parquet(table: pd.DataFrame) -> bytes:
    buffer = BytesIO()
    table.to_parquet(buffer, compression="zstd", index=False)
    return buffer.getvalue()


@law(runs(sampled=False), examples=200)
def test_l7_the_oracle_makes_the_same_of_the_same_decisions(run: Finished) -> None:
    """The decisions that a policy took, told to the oracle as data."""
    world = run.world
    stages = [
        {
            "variants": {
                variant.name: {
                    "latency_s": {
                        cores: dict(enumerate(variant.latency_table(cores)[0][1:], start=1)) for cores in variant.cores
                    },
                    "start_up_s": variant.start_up_s,
                }
                for variant in stage.variants
            },
            "drop_limit_s": limit_s,
        }
        for stage, limit_s in zip(run.pipeline.stages, run.pipeline.drop_limits_s, strict=True)
    ]
    told = oracle.simulate(
        {
            "arrivals": run.records.arrival_s.tolist(),
            "stages": stages,
            "initial": _as_data(run.initial),
            "decisions": [
                [entry.observation.time_s, _as_data(entry.decision.configuration)]
                for entry in run.entries
                if entry.observation.step > 0
            ],
            "duration_s": world.duration_s,
            "sla_s": run.pipeline.sla_s,
            "bound_s": world.bound_s,
            "hop_s": world.hop_s,
            "stop_s": world.stop_s,
            "decision_delay_s": world.decision_delay_s,
            "max_surge": world.max_surge,
            "max_unavailable": world.max_unavailable,
            "dispatch": world.dispatch,
            "drop": world.drop,
        }
    )
    assert engine_runs.difference(run.records, told) is None
    assert run.records.run_end_s == told["end_s"]


def _as_data(configuration: Configuration) -> list[dict[str, Any]]:
    keys = ("variant", "cores", "batch", "replicas", "batch_timeout_s")
    return [{key: getattr(wanted, key) for key in keys} for wanted in configuration.values()]


def check_l11(run: Finished) -> None:
    """Who is served could be in time if nobody waited at later stages.

    Nobody starts who is older than the drop limit; by deadline, nor who has too much service ahead.

    Of the configurations in force within the instant of the start, those with the shortest batches are taken, since
    the start may be before or after a change. Waits at later stages only make what is ahead longer.
    """
    is_by_deadline = run.world.drop == "deadline"
    for position, queue in enumerate(run.queues.values()):
        arrival_s = {visit.request: visit.enqueue_s for visit in run.queues[run.stages[0]]}
        limit_s = run.pipeline.drop_limits_s[position]
        for visit in queue:
            if visit.start_s == inf:
                continue
            age_s = visit.start_s - arrival_s[visit.request]
            assert age_s <= limit_s + 1e-9
            if is_by_deadline:
                ahead_s = sum(shortest_s(run, each, visit.start_s) for each in run.stages[position:])
                ahead_s += run.world.hop_s * (len(run.stages) - 1 - position)
                assert age_s <= run.pipeline.sla_s - ahead_s + 1e-9


def shortest_s(run: Finished, stage: str, moment_s: float) -> float:
    """How long a whole batch of a stage takes, in whichever configuration of this instant takes the least."""
    found = [wanted for since_s, wanted in run.in_force[stage] if since_s == moment_s]
    found.append([wanted for since_s, wanted in run.in_force[stage] if since_s < moment_s or since_s == 0.0][-1])
    latencies_s = []
    for wanted in found:
        variant = run.pipeline.stage(stage).variant(wanted.variant)
        size = min(wanted.batch, variant.max_batch(wanted.cores))
        latencies_s.append(variant.latency_table(wanted.cores)[0][size])
    return min(latencies_s)


def check_l8_cost(run: Finished) -> None:
    """The cost is desired + beyond desired + draining: three integrals over [0, duration], moment by moment."""
    duration_s = run.world.duration_s
    desired_core_s = beyond_core_s = draining_core_s = 0.0
    for stage in run.stages:
        replicas = list(rows(run.replicas(stage)))
        moments_s = {0.0, duration_s} | {since_s for since_s, _ in run.in_force[stage]}
        for row in replicas:
            moments_s |= {row.created_s, row.removed_s, row.gone_s}
        for from_s, to_s in pairwise(sorted(moment_s for moment_s in moments_s if moment_s <= duration_s)):
            desired = run.configured(stage, from_s).total_cores
            existing = sum(row.cores for row in replicas if row.created_s <= from_s < row.removed_s)
            draining = sum(row.cores for row in replicas if row.removed_s <= from_s < row.gone_s)
            desired_core_s += desired * (to_s - from_s)
            beyond_core_s += (existing - desired) * (to_s - from_s)
            draining_core_s += draining * (to_s - from_s)
    parts_core_s = desired_core_s + beyond_core_s + draining_core_s
    assert run.summary["cost_core_s"] == pytest.approx(parts_core_s, rel=1e-9)
    assert run.summary["cost_mean_cores"] == pytest.approx(parts_core_s / duration_s, rel=1e-9)
    if run.world.decision_delay_s == 0.0:
        planned = run.summary["planned_cost_mean_cores"]
        assert planned == pytest.approx(desired_core_s / duration_s, rel=1e-9)


def check_l8_pas(run: Finished) -> None:
    """The PAS is the mean accuracy of what served the completed."""
    accuracy = {row.request: 1.0 for row in rows(run.tables["requests"]) if row.outcome == "completed"}
    for stage, queue in run.queues.items():
        replicas = run.replicas(stage)
        for visit in queue:
            if visit.request in accuracy:
                variant = run.pipeline.stage(stage).variant(replicas.iloc[visit.replica]["variant"])
                accuracy[visit.request] *= variant.accuracy
    if not accuracy:
        assert run.summary["pas_mean"] is None
    else:
        assert run.summary["pas_mean"] == pytest.approx(100.0 * fsum(accuracy.values()) / len(accuracy), rel=1e-12)


def check_l9(run: Finished) -> None:
    """The requests present add up to the time spent."""
    end_s = run.records.run_end_s
    for position, queue in enumerate(run.queues.values()):
        spent_s = fsum(min(visit.finish_s, visit.dropped_s, end_s) - visit.enqueue_s for visit in queue)
        assert run.records.integral_s[position] == pytest.approx(spent_s, rel=1e-9, abs=1e-9)


BOTH = (check_l1, check_l2, check_l4, check_l8_cost, check_l8_pas, check_l9)
CHECKS: Mapping[str, Sequence[Callable[[Finished], None]]] = {
    "central": (*BOTH, check_l3_central, check_l5, check_l11),
    "eager": (*BOTH, check_l3_eager),
}
"""What a finished run is held to, by dispatch: a run costs more than what is read off it, so each is held to all."""


@law(run_settings(), examples=120)
def test_l10_a_journal_read_back_replays_the_same_decisions(setting: Setting) -> None:
    run = setting.run()
    lines = [to_line(entry) for entry in run.entries]
    assert all("\n" not in line for line in lines)
    recorded = list(read_journal(lines))
    assert [to_line(entry) for entry in recorded] == lines
    replayed = replay_journal(setting.pipeline, setting.new_policy(), recorded)
    again = [to_line(replace(entry, outcome=before.outcome)) for entry, before in zip(replayed, recorded, strict=True)]
    assert again == lines


def test_l10_a_policy_with_a_memory_is_replayed_through_it() -> None:
    """Four steps, counted in the memory alone: at 0, 1, 2 and 3 s."""
    figures = (Figure(1, 1, 0.25, 0.25, 4.0),)
    pipeline = Pipeline("one", "", (Stage("a", "task", 1.0, 1.0, (Variant("v", 0.5, 1, 0.0, figures),)),))
    trace = Trace.of_counts("few", [1, 1, 1, 1])
    setting = Setting(pipeline, "wandering", trace, "even", False, World(4.0, 10.0), ControlSettings(1.0, 10), 1)
    entries = list(read_journal([to_line(entry) for entry in setting.run().entries]))
    replayed = list(replay_journal(pipeline, Wandering(pipeline), entries))
    assert [entry.decision.memory for entry in replayed] == [{"steps": steps} for steps in (1, 2, 3, 4)]


@pytest.mark.parametrize("dispatch", ["central", "eager"])
def test_the_laws_hold_for_a_shipped_pipeline(dispatch: str) -> None:
    """And the tables of a scenario's run are those of its records."""
    values: dict[str, Any] = {"policy": "ipa", "dispatch": dispatch, "window": "600:612", "decision_delay_s": 0.5}
    scenario = Scenario(pipeline="video", trace="bursty").with_values(values)
    done = simulate(scenario)
    world = World(duration_s=12.0, bound_s=10.0 * done.pipeline.sla_s, decision_delay_s=0.5, dispatch=scenario.dispatch)
    run = Finished(done.pipeline, world, done.initial, done.entries, done.records)
    assert all(run.tables[name].equals(table) for name, table in done.tables.items())
    for check in CHECKS[dispatch]:
        check(run)


# ---- the run's own check of its laws ----

# Stage 0 serves pairs on two replicas, one of which goes at 3; stage 1 serves one request in 2 s, drops at an age of 4.
EVENTFUL = Story(
    "all outcomes",
    rule="",
    shows="",
    initial=(of("small", batch=2, replicas=2), of("large", cores=2)),
    arrivals_s=(0.0, 0.0, 0.5, 1.0, 1.5, 5.0, 5.5, 5.5),
    decisions=((3.0, (of("small", batch=2), of("large", cores=2))),),
    duration_s=6.0,
    bound_s=2.5,
    drop_limits_s=(100.0, 4.0),
)


@pytest.fixture
def sound() -> Records:
    records = engine_runs.run(in_oracle_format(EVENTFUL), seed=1)
    assert set(records.outcome.tolist()) == {COMPLETED, DROPPED, UNFINISHED}
    assert list(laws.violations(records, eager=False, oldest_s=EVENTFUL.limits_s)) == []
    laws.check(records, eager=False)
    return records


@cache
def of_graph() -> Records:
    """The same, its two stages written as a graph."""
    made = in_oracle_format(EVENTFUL)
    edges = [graph_runs.plain_edge(made, 0, 1)]
    records = graph_runs.run(made | {"edges": edges, "joins": {}}, seed=1)
    laws.check(records, eager=False, oldest_s=EVENTFUL.limits_s)
    return records


def first(records: Records, outcome: int) -> int:
    """The first request with this outcome."""
    return int(np.flatnonzero(records.outcome == outcome)[0])


def put(records: Records, name: str, where: Any, value: float) -> Records:
    """The records with one entry of one array changed."""
    array = getattr(records, name).copy()
    array[where] = value
    return replace(records, **{name: array})


def put_replica(records: Records, stage: int, name: str, number: int, value: float) -> Records:
    """The records with one moment of one replica changed."""
    array = getattr(records.replicas[stage], name).copy()
    array[number] = value
    replicas = list(records.replicas)
    replicas[stage] = replace(replicas[stage], **{name: array})
    return replace(records, replicas=tuple(replicas))


def swapped(records: Records, stage: int, one: int, other: int) -> Records:
    """The records with two requests in each other's batches."""
    changes = {}
    for name in ("start_s", "finish_s", "replica", "batch", "batch_size"):
        array = getattr(records, name).copy()
        array[stage, [one, other]] = array[stage, [other, one]]
        changes[name] = array
    return replace(records, **changes)


NAN = float("nan")

BREAKS: Mapping[str, tuple[str, Callable[[Records], Records]]] = {
    "a completed request is called unfinished": (
        "L1: completed",
        lambda r: put(put(r, "outcome", first(r, COMPLETED), UNFINISHED), "end_s", first(r, COMPLETED), NAN),
    ),
    "an unfinished request is called completed": (
        "L1: completed",
        lambda r: put(put(r, "outcome", first(r, UNFINISHED), COMPLETED), "end_s", first(r, UNFINISHED), 8.0),
    ),
    "a dropped request was dropped nowhere": ("L1: dropped", lambda r: put(r, "dropped_stage", first(r, DROPPED), -1)),
    "a completed request was dropped as well": (
        "L1: dropped",
        lambda r: put(r, "dropped_stage", first(r, COMPLETED), 1),
    ),
    "a completed request never ended": (
        "L1: a request has an end",
        lambda r: put(r, "end_s", first(r, COMPLETED), NAN),
    ),
    "an unfinished request ended": ("L1: a request has an end", lambda r: put(r, "end_s", first(r, UNFINISHED), 8.0)),
    "a request has no outcome": ("L1: .* none of the outcomes", lambda r: put(r, "outcome", first(r, UNFINISHED), 4)),
    "a start before the enqueue": ("L2: .* backwards", lambda r: put(r, "start_s", (0, 0), -0.5)),
    "a finish before the start": ("L2: .* backwards", lambda r: put(r, "finish_s", (1, 0), 0.5)),
    "an enqueue before the finish at the stage before": (
        "L2: .* backwards",
        lambda r: put(r, "enqueue_s", (1, 0), 0.5),
    ),
    "an enqueue before the arrival": ("L2: .* backwards", lambda r: put(r, "enqueue_s", (0, 7), 5.0)),
    "a start without an enqueue": ("L2: .* never enqueued", lambda r: put(r, "enqueue_s", (1, 0), NAN)),
    "a start where it was dropped": (
        "L2: .* where it was dropped",
        lambda r: put(r, "start_s", (1, first(r, DROPPED)), float(r.end_s[first(r, DROPPED)])),
    ),
    "a later request started first": ("L3: at stage 1", lambda r: swapped(r, 1, 0, 2)),
    "a batch without all its members": ("L4: at stage 0 .* members", lambda r: put(r, "batch_size", (0, slice(2)), 3)),
    "a replica with two batches at once": ("L4: at stage 1 .* two batches", lambda r: put(r, "start_s", (1, 1), 2.5)),
    "a replica that served before it was ready": (
        "L4: at stage 0 .* before it was ready",
        lambda r: put_replica(r, 0, "ready_s", 0, 0.25),
    ),
    "a replica that served after it was removed": (
        "L4: at stage 0 .* after it was removed",
        lambda r: put_replica(r, 0, "removed_s", 1, 0.25),
    ),
    "a replica that was gone before its batch was done": (
        "L4: at stage 0 .* gone",
        lambda r: put_replica(r, 0, "gone_s", 0, 0.5),
    ),
    "a batch above the size in force": (
        "L4: at stage 0 .* larger",
        lambda r: replace(r, configured=(((0.0, 1),), r.configured[1])),
    ),
    "a batch above the size that came into force before it": (
        "L4: at stage 0 .* larger",
        lambda r: replace(r, configured=(((0.0, 2), (5.25, 1)), r.configured[1])),
    ),
    "a replica gone before it was created": (
        "L8: at stage 0",
        lambda r: put_replica(put_replica(r, 0, "gone_s", 1, 1.0), 0, "created_s", 1, 2.0),
    ),
    "more cores than the limit": (
        "L14: more cores existed at once",
        lambda r: replace(put_replica(r, 0, "ready_s", 1, 0.25), limits={"cores": 3}),
    ),
    "a request that failed although no replica was removed": (
        "L12: at stage 1",
        lambda r: put(r, "outcome", first(r, DROPPED), FAILED),
    ),
    "an integral that misses a second": ("L9: at stage 1", lambda r: put(r, "integral_s", 1, r.integral_s[1] - 1.0)),
    "an enqueue later than the hop allows": ("L9: at stage 1", lambda r: put(r, "enqueue_s", (1, 1), 1.25)),
    "a request that was served although it was too old": ("L13: at stage 1", lambda r: put(r, "arrival_s", 1, -1.5)),
    "a request that never finished at the stage before": ("L9: at stage 0", lambda r: put(r, "finish_s", (0, 1), NAN)),
    "an item that was served later than its request ended": (
        "L1: a request has not completed with its last item",
        lambda _: put(of_graph(), "end_s", first(of_graph(), COMPLETED), 8.25),
    ),
    "a request of a graph that was dropped nowhere": (
        "L1: a request was dropped otherwise than with an item",
        lambda _: put(of_graph(), "dropped_stage", first(of_graph(), DROPPED), -1),
    ),
    "an unfinished request of a graph ended": (
        "L1: a request has an end",
        lambda _: put(of_graph(), "end_s", first(of_graph(), UNFINISHED), 8.0),
    ),
    "an item without a place in the integral": (
        "L9: at stage 1",
        lambda _: replace(of_graph(), items=(of_graph().items[0], put(of_graph().items[1], "integral_s", 0, 0.0))),
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_law_is_found(sound: Records, name: str) -> None:
    pattern, break_it = BREAKS[name]
    found = list(laws.violations(break_it(sound), eager=False, oldest_s=EVENTFUL.limits_s))
    assert [text for text in found if re.match(pattern, text)], found
    with pytest.raises(LawError, match=pattern):
        laws.check(break_it(sound), eager=False, oldest_s=EVENTFUL.limits_s)


def broken_by(break_it: Callable[[Records], Records], sound: Records) -> list[str]:
    return list(laws.violations(break_it(sound), eager=False, oldest_s=EVENTFUL.limits_s))


def test_every_sentence_of_the_check_is_provoked(sound: Records) -> None:
    """So that a sentence added to the check must be provoked here: none can be vacuous. Those of totals are others'."""
    source = inspect.getsource(laws).partition("class StageTotals")[0]
    sentences = re.findall(r'yield f?"(.+)"', source)
    assert len(sentences) == source.count('yield f"') + source.count('yield "') > 10
    found = [text for _, break_it in BREAKS.values() for text in broken_by(break_it, sound)]
    for sentence in sentences:
        pattern = re.escape(sentence).replace(r"\{name\}", ".*")
        assert any(re.fullmatch(pattern, text) for text in found), sentence


def test_eager_runs_are_not_held_to_the_order_of_the_queue(sound: Records) -> None:
    later_first = swapped(sound, 1, 0, 2)
    assert not [text for text in laws.violations(later_first, eager=True) if text.startswith("L3")]

"""Every story of the model comes out as told, on the engine and on the oracle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isnan
from typing import Any

import numpy as np
import pytest

from ipa.policies import Configuration, Decision, Memory, Observation, ReplicaCounts, Static, lightest_configuration
from ipa.profiles import Pipeline
from ipa.sim import ControlSettings, Records, RunInput, World, laws, simulate_policy, stage_models
from ipa.sim.backend import RunView, SimulatedBackend
from ipa.sim.load_view import LoadView
from ipa.sim.records import COMPLETED, FAILED, OUTCOMES, collect_records
from ipa.studies import Scenario
from tests import tiny
from tests.sim import engine_runs, oracle
from tests.sim.stories import STORIES, VARIANTS, Batch, Drop, Replica, Seen, Story, of


@dataclass(frozen=True)
class Log:
    """All that happened in a run."""

    batches: list[Batch]
    enqueues: list[tuple[int, int, float]]  # stage, request, when
    drops: list[Drop]
    unfinished: list[int]
    replicas: list[Replica]
    end_s: float


def test_names_are_unique() -> None:
    names = [story.name for story in STORIES]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: f"{story.rule}: {story.name}")
def test_engine_tells_the_story(story: Story) -> None:
    log, seen, records = on_the_engine(story)
    assert log.batches == list(story.batches)
    assert log == told(story)
    oldest_s = None if "eager" in story.rule else laws.oldest_s(engine_runs.parts(in_oracle_format(story), 1)[0])
    assert list(laws.violations(records, eager=story.dispatch == "eager", oldest_s=oldest_s)) == []
    if story.seen:
        assert seen == list(story.seen)
    if story.core_s is not None:
        assert sum(laws.replica_core_s(replicas, records) for replicas in records.replicas) == story.core_s


@pytest.mark.parametrize("story", STORIES, ids=lambda story: f"{story.rule}: {story.name}")
def test_oracle_tells_the_story(story: Story) -> None:
    log = log_of_the_oracle(oracle.simulate(in_oracle_format(story)))
    assert log.batches == list(story.batches)
    assert log == told(story)


def told(story: Story) -> Log:
    """What the story says, as a log."""
    enqueues = [(0, request, arrival_s) for request, arrival_s in enumerate(story.arrivals_s)]
    for batch in story.batches:
        if batch.stage + 1 < len(story.initial) and batch.finish_s is not None:
            delivered_s = batch.finish_s + story.hop_s
            if delivered_s <= story.end_s:
                enqueues += [(batch.stage + 1, request, delivered_s) for request in batch.requests]
    return Log(
        list(story.batches),
        sorted(enqueues),
        list(story.drops),
        list(story.unfinished),
        list(story.expected_replicas),
        story.end_s,
    )


# ---- running a story ----


def in_oracle_format(story: Story) -> dict[str, Any]:
    """The story as the oracle (and `engine_runs`) take it."""
    variants = {
        name: {
            "latency_s": {cores: dict(enumerate(times_s, start=1)) for cores, times_s in model.latency_s.items()},
            "start_up_s": model.start_up_s,
        }
        for name, model in VARIANTS.items()
    }
    return {
        "arrivals": list(story.arrivals_s),
        "stages": [{"variants": variants, "drop_limit_s": limit_s} for limit_s in story.limits_s],
        "initial": [_as_dict(wanted) for wanted in story.initial],
        "decisions": [[time_s, [_as_dict(wanted) for wanted in stages]] for time_s, stages in story.decisions],
        "sla_s": story.sla_s,
        "duration_s": story.duration_s,
        "bound_s": story.bound_s,
        "hop_s": story.hop_s,
        "stop_s": story.stop_s,
        "decision_delay_s": story.decision_delay_s,
        "max_surge": story.max_surge,
        "max_unavailable": story.max_unavailable,
        "dispatch": story.dispatch,
        "drop": story.drop,
    }


def _as_dict(wanted: Any) -> dict[str, Any]:
    return {key: getattr(wanted, key) for key in ("variant", "cores", "batch", "replicas", "batch_timeout_s")}


def on_the_engine(story: Story) -> tuple[Log, list[Seen], Records]:
    """The log of a story on the engine, what its control steps saw, and the records."""
    engine = engine_runs.build(in_oracle_format(story), seed=1)
    load = LoadView(engine.arrivals_s, np.empty(0), history_s=10)
    cluster = SimulatedBackend(engine, RunView(load, story.duration_s, "story", 1, None, ()))
    decisions = iter(story.decisions)
    seen: list[Seen] = []

    def control() -> None:
        observation = cluster.observe()
        seen.extend(_seen(observation, stage) for stage in range(len(story.initial)))
        cluster.apply({str(stage): wanted for stage, wanted in enumerate(next(decisions)[1])})

    for _ in engine.steps(iter([time_s for time_s, _ in story.decisions])):
        control()
    records = collect_records(engine)
    return log_of_the_engine(records), seen, records


def _seen(observation: Observation, stage: int) -> Seen:
    of_stage = observation.stages[str(stage)]
    states = of_stage.replicas.values()
    return Seen(
        observation.time_s,
        of_stage.arrivals,
        of_stage.completions,
        of_stage.drops,
        of_stage.queue_length,
        of_stage.in_service,
        sum(counts.starting for counts in states),
        sum(counts.ready for counts in states),
        sum(counts.draining for counts in states),
        stage,
    )


def log_of_the_engine(records: Records) -> Log:
    stages = range(len(records.stages))
    batches = []
    for stage in stages:
        for batch in range(records.batch[stage].max(initial=-1) + 1):
            members = np.flatnonzero(records.batch[stage] == batch)
            one = members[0]
            # Members in the order of the queue: by enqueue, then as they came from the stage before.
            before = records.batch[stage - 1] if stage else np.zeros_like(records.batch[0])
            members = members[np.lexsort((members, before[members], records.enqueue_s[stage, members]))]
            start_s, finish_s = float(records.start_s[stage, one]), _moment(records.finish_s[stage, one])
            replica = int(records.replica[stage, one])
            batches.append(Batch(start_s, finish_s, replica, tuple(members.tolist()), stage))
    dropped = np.flatnonzero(records.dropped_stage >= 0)
    drops = [Drop(float(records.end_s[n]), int(n), int(records.dropped_stage[n])) for n in dropped]
    return Log(
        batches,
        [(int(k), int(n), float(records.enqueue_s[k, n])) for k, n in np.argwhere(~np.isnan(records.enqueue_s))],
        sorted(drops, key=lambda drop: (drop.stage, drop.time_s, drop.request)),
        [n for n, outcome in enumerate(records.outcome) if OUTCOMES[outcome] == "unfinished"],
        [
            Replica(
                variant,
                float(of_stage.created_s[n]),
                _moment(of_stage.ready_s[n]),
                _moment(of_stage.removed_s[n]),
                _moment(of_stage.gone_s[n]),
                int(of_stage.cores[n]),
                stage,
            )
            for stage, of_stage in zip(stages, records.replicas, strict=True)
            for n, variant in enumerate(of_stage.variant)
        ],
        records.run_end_s,
    )


def _moment(time_s: float) -> float | None:
    return None if isnan(time_s) else float(time_s)


def log_of_the_oracle(result: Mapping[str, Any]) -> Log:
    batches: dict[tuple[int, int], Batch] = {}
    enqueues, drops = [], []
    for number, request in enumerate(result["requests"]):
        if request["outcome"] == "dropped":
            drops.append(Drop(request["dropped_s"], number, request["dropped_at"]))
        for stage, visit in enumerate(request["stages"]):
            enqueues.append((stage, number, visit["enqueue"]))
            if "start" in visit:
                key = stage, visit["batch_id"]
                so_far = batches[key].requests if key in batches else ()
                requests = (*so_far, number)
                batches[key] = Batch(visit["start"], visit.get("finish"), visit["replica"], requests, stage)
    keys = ("variant", "created", "ready", "removed", "gone", "cores")
    return Log(
        [batches[key] for key in sorted(batches)],
        sorted(enqueues),
        sorted(drops, key=lambda drop: (drop.stage, drop.time_s, drop.request)),
        [n for n, request in enumerate(result["requests"]) if request["outcome"] == "unfinished"],
        [
            Replica._make([*(replica[key] for key in keys), stage])
            for stage, replicas in enumerate(result["replicas"])
            for replica in replicas
        ],
        result["end_s"],
    )


# ---- what is not in a log: draws, control steps, defaults ----


class Recorder:
    """Decides the same configuration always, and remembers what it saw."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self.seen: list[Observation] = []

    def decide(self, observation: Observation, memory: Memory) -> Decision:
        self.seen.append(observation)
        return Decision(self.configuration, memory)


SMALL_ONE: Configuration = {"a": of("small")}


def one_stage() -> Pipeline:
    """Stage "a" with "small" on 1 core, 0.5 s a request; its SLA is 1 s."""
    return tiny.pipeline([tiny.variant("small", 0.5, 1, {1: 0.5, 2: 0.5})])


def watched(
    arrivals_s: list[float], history_rps: list[float], control: ControlSettings, duration_s: float = 30.0
) -> list[Observation]:
    """What a policy sees of a run of `one_stage`."""
    pipeline, policy = one_stage(), Recorder(SMALL_ONE)
    world = World(duration_s=duration_s, bound_s=10.0)
    models = stage_models(pipeline, sampled=False)
    given = RunInput(models, world, np.array(arrivals_s), 1)
    simulate_policy(pipeline, policy, given, control, np.array(history_rps))
    return policy.seen


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"max_surge": 0}, "max_surge 0 and max_unavailable 0"),
        ({"drop": "deadline"}, "drop 'deadline' needs sla_s"),
        ({"drop": "late"}, "drop 'late'; allowed: request, batch, deadline"),
    ],
)
def test_a_world_that_cannot_be_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        World(duration_s=1.0, bound_s=1.0, **given)


@pytest.mark.parametrize(
    ("duration_s", "times_s"),
    [(30.0, [0.0, 10.0, 20.0]), (30.5, [0.0, 10.0, 20.0, 30.0]), (10.0, [0.0])],
)
def test_rule_9_control_steps_lie_at_multiples_of_the_interval_below_the_duration(
    duration_s: float, times_s: list[float]
) -> None:
    seen = watched([1.0], [1.0], ControlSettings(), duration_s)
    assert [(observation.step, observation.time_s) for observation in seen] == list(enumerate(times_s))


def test_rule_9_warm_the_first_decision_is_made_on_the_history_and_stands_ready() -> None:
    pipeline, wanted = one_stage(), {"a": of("small", replicas=3)}
    policy, world = Recorder(wanted), World(duration_s=5.0, bound_s=5.0)
    models, control = stage_models(pipeline, sampled=False), ControlSettings(history_s=4)
    history_rps = np.array([9.0, 4.0, 5.0])
    run = simulate_policy(pipeline, policy, RunInput(models, world, np.array([0.0]), 1), control, history_rps)
    (opening,) = policy.seen
    assert repr(opening.load_rps) == "(nan, 9.0, 4.0, 5.0)"  # a second before all history has no sample
    assert opening.configuration == lightest_configuration(pipeline)
    assert opening.stages["a"].replicas == {}
    assert run.initial == wanted
    assert run.records.replicas[0].ready_s.tolist() == [0.0, 0.0, 0.0]


def test_rule_9_configured_a_given_configuration_stands_ready_and_nobody_decides_at_0() -> None:
    start: Configuration = {"a": of("small", replicas=2)}
    seen = watched([1.0], [], ControlSettings(initial=start))
    assert [observation.time_s for observation in seen] == [10.0, 20.0]
    assert seen[0].configuration == start
    assert seen[0].stages["a"].replicas == {"small": ReplicaCounts(ready=2)}
    assert seen[1].configuration == SMALL_ONE


def test_rule_10_defaults() -> None:
    control, world, scenario = ControlSettings(), World(duration_s=1.0, bound_s=1.0), Scenario(pipeline="video")
    assert (control.interval_s, control.history_s, control.initial) == (10.0, 120, None)
    assert (scenario.interval_s, scenario.history_s, scenario.start) == (10.0, 120, "warm")
    for given in (world, scenario):
        delays_s = given.decision_delay_s, given.stop_s, given.hop_s
        assert delays_s == (0.0, 0.0, 0.0)
        assert (given.max_surge, given.max_unavailable) == (None, 0)
        assert (given.dispatch, given.drop) == ("central", "request")


@pytest.mark.parametrize(
    ("batch", "planned_load_rps", "timeout_s"),
    [
        (1, 100.0, 0.0),
        (2, 10.0, 0.1),  # (2 - 1) / 10
        (2, 0.5, 1.0),  # (2 - 1) / 0.5 = 2, but at most 1
        (2, 0.0, 1.0),
    ],
)
def test_rule_10_the_batch_timeout_follows_the_planned_load(
    batch: int, planned_load_rps: float, timeout_s: float
) -> None:
    chosen = {"a": {"variant": "small", "batch": batch}}
    policy = Static(one_stage(), configuration=chosen, planned_load_rps=planned_load_rps)
    assert policy.configuration["a"].batch_timeout_s == timeout_s


def test_rule_10_the_batch_timeout_is_at_most_half_the_drop_limit() -> None:
    """Limit 2 x SLA 1 at the only stage, or 0.5 of its own."""
    chosen = {"a": {"variant": "small", "batch": 2}}
    pipeline = one_stage()
    (stage,) = pipeline.stages
    short = replace(pipeline, stages=(replace(stage, drop_limit_s=0.5),))
    assert Static(short, configuration=chosen).configuration["a"].batch_timeout_s == 0.25


# ---- removed with what it holds ----


@pytest.mark.parametrize("engine", ["simpy", "compiled"])
@pytest.mark.parametrize(("dispatch", "failed"), [("central", [1]), ("eager", [1, 3])])
def test_what_a_removed_replica_holds_fails_with_it(engine: str, dispatch: str, failed: list[int]) -> None:
    """Four requests, two replicas that take 2 s each; at 1 s the second goes with request 1 and, if batches wait at
    replicas, with 3. The first serves the others, one after the other. A step at 1.5 s counts the failures."""
    two = {"variant": "a", "cores": 1, "batch": 1, "replicas": 2, "batch_timeout_s": 0.0}
    drawn: dict[str, Any] = {
        "arrivals": [0.0, 0.25, 0.5, 0.75],
        "stages": [{"variants": {"a": {"latency_s": {1: {1: 2.0}}, "start_up_s": 1.0}}, "drop_limit_s": 60.0}],
        "initial": [two],
        "decisions": [[1.0, [two | {"replicas": 1}]], [1.5, [two | {"replicas": 1}]]],
        "sla_s": 10.0,
        "duration_s": 10.0,
        "hop_s": 0.0,
        "stop_s": 0.25,
        "decision_delay_s": 0.0,
        "max_surge": 1,
        "max_unavailable": 0,
        "dispatch": dispatch,
        "removal": "lose",
    }
    built = engine_runs.build(drawn, 1, engine)
    seen = []
    decisions = iter(drawn["decisions"])
    for now_s in built.steps(iter([1.0, 1.5])):
        seen.append(built.stages[0].seen(now_s))
        built.apply(engine_runs.configuration(next(decisions)[1]))
    records = collect_records(built)
    assert np.flatnonzero(records.outcome == FAILED).tolist() == failed
    assert records.end_s[failed].tolist() == [1.0] * len(failed)
    ended_s = [2.0, 4.0] if dispatch == "eager" else [2.0, 4.0, 6.0]
    assert records.end_s[records.outcome == COMPLETED].tolist() == ended_s
    assert records.replicas[0].gone_s[1] == 1.25
    assert [(each.failed, each.in_service, each.waiting) for each in seen] == [
        (0, 2, 2),
        (len(failed), 1, 3 - len(failed)),
    ]
    assert list(laws.violations(records, eager=dispatch == "eager")) == []
    assert engine_runs.difference(records, oracle.simulate(drawn)) is None

"""Runs that mix variants within a stage, by hand: when a mix takes effect, which lane serves, and what laws see."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ipa.policies import StageConfiguration, mix_of
from ipa.sim import laws, streams
from ipa.sim.engines import create_engine
from ipa.sim.interface import Handover
from ipa.sim.lanes import LaneLogs
from ipa.sim.model import RunInput, ServiceTime, StageModel, World
from ipa.sim.records import DROPPED, Recorder, Records, collect_records
from tests.sim import engine_runs
from tests.sim.random_scenarios import scenario, ways
from tests.sim.test_engines import MODES, differences, drawn_for

SMALL, LARGE = ServiceTime((0.0, 1.0, 1.0)), ServiceTime((0.0, 2.0, 2.0))


@pytest.mark.parametrize("engine", ["simpy", "compiled"])
@pytest.mark.parametrize(("dispatch", "drop"), MODES)
def test_lanes_change_nothing_where_nothing_is_mixed(engine: str, dispatch: str, drop: str) -> None:
    for seed in range(40):
        beside = seed % 4 > 1  # half of them, with either way to resize
        drawn = scenario(seed, dispatch=dispatch, drop=drop, **ways(seed), interference=beside)
        plain, laned = (engine_runs.run(each, seed, engine) for each in (drawn, drawn | {"mix_draws": []}))
        different = [where for where in differences(plain, laned) if not where.endswith("lanes")]
        assert different == [], f"seed {seed}"


@pytest.mark.parametrize("engine", ["simpy", "compiled"])
def test_what_is_handed_over_at_the_end_is_what_is_kept(engine: str) -> None:
    for seed in range(20):
        drawn = drawn_for("mixed", "central", "request", seed)
        given: list[Handover] = []
        of_run, initial = engine_runs.parts(drawn, seed)
        run = create_engine(engine, of_run, initial, given.append, mixes=True)
        decisions = iter(drawn["decisions"])
        for _ in run.steps(iter([time_s for time_s, _ in drawn["decisions"]])):
            run.apply(engine_runs.configuration(next(decisions)[1]))
        recorder = Recorder(of_run.arrivals_s, len(of_run.models))
        for each in given:
            recorder.take(each.stage, each.batches, each.drops)
        assert list(differences(engine_runs.run(drawn, seed, engine), recorder.records(run))) == []


# ---- by hand ----


def two_variants(
    initial: StageConfiguration,
    arrivals_s: list[float],
    decisions: list[tuple[float, StageConfiguration]],
    engine: str,
    seed: int = 1,
    by_deadline: float | None = None,
) -> Records:
    """A stage with small (1 s a batch, ready 3 s after creation) and large (2 s, 4 s), batches of up to 2.

    `by_deadline`: the SLA by which requests are dropped.
    """
    model = StageModel(
        "a", {("small", 1): SMALL, ("small", 2): SMALL, ("large", 2): LARGE}, {"small": 3.0, "large": 4.0}, 100.0
    )
    world = World(20.0, 100.0, drop="request" if by_deadline is None else "deadline", sla_s=by_deadline)
    run = create_engine(engine, RunInput([model], world, np.array(arrivals_s), seed), {"a": initial}, mixes=True)
    wanted = iter(decisions)
    for _ in run.steps(iter([time_s for time_s, _ in decisions])):
        run.apply({"a": next(wanted)[1]})
    return collect_records(run)


def small(replicas: int = 1, share: float = 1.0) -> StageConfiguration:
    return StageConfiguration("small", 1, replicas, 0.0, 1, share)


def large(replicas: int = 1, share: float = 1.0) -> StageConfiguration:
    return StageConfiguration("large", 1, replicas, 0.0, 2, share)


@pytest.mark.parametrize("engine", ["simpy", "compiled"])
def test_a_mix_takes_effect_when_its_new_variant_is_ready(engine: str) -> None:
    """Decided at 2 s, large is ready at 6 s; the request of 6.0 s still goes to small: it came before it was ready."""
    draws = streams.stream(1, "mix", 0).random(6)
    shares = 0.01, 0.99
    assert all(draws > shares[0])  # all go to large as soon as it gets requests
    mix = mix_of([small(1, shares[0]), large(1, shares[1])])
    records = two_variants(small(2), [0.0, 3.0, 5.0, 6.0, 7.0, 12.0], [(2.0, mix)], engine)
    variants = [records.replicas[0].variant[number] for number in records.replica[0]]
    assert variants == ["small", "small", "small", "small", "large", "large"]
    assert records.start_s[0].tolist() == [0.0, 3.0, 5.0, 6.0, 7.0, 12.0]
    of = records.replicas[0]
    assert of.variant == ("small", "small", "large")
    assert of.created_s.tolist() == [0.0, 0.0, 2.0]
    assert of.ready_s.tolist() == [0.0, 0.0, 6.0]
    assert np.nan_to_num(of.removed_s, nan=-1.0).tolist() == [-1.0, 6.0, -1.0]  # two small ones until then, then one


@pytest.mark.parametrize("engine", ["simpy", "compiled"])
def test_a_lane_is_warm_by_ready_replicas_of_any_cores(engine: str) -> None:
    """Of two small ones one is ready, at 4 s, when one of two cores is wanted at 4.5 s: that is as many as desired.

    So the request of 5 s goes to small, where the one of one core serves until its successor is ready, at 7.5 s.
    """
    assert all(streams.stream(1, "mix", 0).random(3) > 0.01)
    of_small = (small(1, 0.99), small(2, 0.99), replace(small(1, 0.99), cores=2))
    decisions = [(at, mix_of([large(1, 0.01), part])) for at, part in zip((1.0, 2.0, 4.5), of_small, strict=True)]
    records = two_variants(large(1), [0.0, 5.0, 8.0], decisions, engine)
    of = records.replicas[0]
    served = [(of.variant[number], int(of.cores[number])) for number in records.replica[0]]
    assert served == [("large", 2), ("small", 1), ("small", 2)]


@pytest.mark.parametrize("engine", ["simpy", "compiled"])
def test_what_waits_in_a_lane_is_served_there_before_it_goes(engine: str) -> None:
    """Three requests wait for the only large one; from 1 s on all go to small, and large goes when it has served."""
    mix = mix_of([large(1, 0.99), small(1, 0.01)])
    assert all(streams.stream(1, "mix", 0).random(4) < 0.99)
    records = two_variants(mix, [0.0, 0.2, 0.4, 2.0], [(1.0, small(1))], engine)
    variants = [records.replicas[0].variant[number] for number in records.replica[0]]
    assert variants == ["large", "large", "large", "small"]
    assert records.finish_s[0].tolist() == [2.0, 4.0, 6.0, 3.0]
    of = records.replicas[0]
    assert dict(zip(of.variant, of.gone_s.tolist(), strict=True))["large"] == 6.0


def test_shares_are_what_the_keyed_draws_say() -> None:
    """1,000 requests: to each variant exactly those of its draws, and the same ones under other replicas."""
    draws = streams.stream(7, "mix", 0).random(1000)
    arrivals_s = np.arange(1000) * 0.01
    found = []
    for replicas in (1, 3):
        mix = mix_of([small(replicas, 0.3), large(replicas, 0.7)])
        records = two_variants(mix, arrivals_s.tolist(), [], "simpy", seed=7)
        served = records.replica[0] >= 0
        variants = np.array([records.replicas[0].variant[number] for number in records.replica[0][served]])
        assert np.array_equal(variants == "small", draws[served] < 0.3)
        found.append(Counter(variants.tolist()))
    assert found[1]["small"] > found[0]["small"]


@pytest.mark.parametrize("engine", ["simpy", "compiled"])
def test_by_deadline_a_request_is_too_late_for_its_own_lane(engine: str) -> None:
    """The SLA is 4 s: at small (1 s) a request may be 3 s old when it starts, at large (2 s) 2 s.

    Each has one replica. Small starts a batch at 0, 1, 2 and 3 s, large at 0 and 2 s. Then the others are too old.
    """
    is_small = streams.stream(1, "mix", 0).random(12) < 0.75
    assert is_small.sum() == 5
    records = two_variants(mix_of([small(1, 0.75), large(1, 0.25)]), [0.0] * 12, [], engine, by_deadline=4.0)
    for of_lane, starts_s in ((is_small, [0.0, 1.0, 2.0, 3.0]), (~is_small, [0.0, 2.0])):
        start_s, end_s = records.start_s[0, of_lane], records.end_s[of_lane]
        assert start_s[: len(starts_s)].tolist() == starts_s
        assert np.all(records.outcome[of_lane][len(starts_s) :] == DROPPED)
        assert np.all(end_s[len(starts_s) :] == 4.0)


@pytest.mark.parametrize("engine", ["simpy", "compiled"])
@pytest.mark.parametrize(("later", "starts"), [("both", [True, False, True]), ("large", [False] * 3)])
def test_by_deadline_the_fastest_lane_of_a_later_stage_counts(engine: str, later: str, starts: list[bool]) -> None:
    """The SLA is 2.5 s, and stage a takes 1 s. With small (1 s) at b, a request may be 0.5 s old when it starts at a.

    At 1 s, the request of 0.3 s is 0.7 s old and that of 0.6 s 0.4 s. With large alone (2 s) there is no hope for any.
    """
    models = [
        StageModel("a", {("one", 1): SMALL}, {"one": 3.0}, 100.0),
        StageModel("b", {("small", 1): SMALL, ("large", 2): LARGE}, {"small": 3.0, "large": 4.0}, 100.0),
    ]
    mix = mix_of([small(1, 0.5), large(2, 0.5)]) if later == "both" else large(2)
    initial = {"a": StageConfiguration("one", 1, 1, 0.0, 1), "b": mix}
    world = World(20.0, 100.0, drop="deadline", sla_s=2.5)
    run = create_engine(engine, RunInput(models, world, np.array([0.0, 0.3, 0.6]), 1), initial, mixes=True)
    list(run.steps(iter([])))
    records = collect_records(run)
    assert np.isfinite(records.start_s[0]).tolist() == starts
    assert records.end_s[1] == (1.0 if later == "both" else 0.3)


@pytest.mark.parametrize("engine", ["simpy", "compiled"])
@pytest.mark.parametrize(("first", "finish_s"), [("small", [1.0, 3.0]), ("large", [2.0, 2.5])])
def test_of_batches_that_start_in_one_instant_the_later_lane_counts_those_before(
    engine: str, first: str, finish_s: list[float]
) -> None:
    """Two requests, one for each lane. Small (1 s) counts the two cores of large, or large (2 s) the one of small."""
    draws = streams.stream(1, "mix", 0).random(2)
    assert draws[0] < 0.9 < draws[1]
    service = {
        ("small", 1): replace(SMALL, beside=(1.0, 1.5, 2.5)),
        ("large", 2): replace(LARGE, beside=(1.0, 1.5)),
    }
    model = StageModel("a", service, {"small": 3.0, "large": 4.0}, 100.0)
    lanes = [small(1, 0.9), large(1, 0.1)] if first == "small" else [large(1, 0.9), small(1, 0.1)]
    world = World(20.0, 100.0, interference=True)
    run = create_engine(engine, RunInput([model], world, np.array([0.0, 0.0]), 1), {"a": mix_of(lanes)}, mixes=True)
    list(run.steps(iter([])))
    assert collect_records(run).finish_s[0].tolist() == finish_s


# ---- laws ----


def _lanes(of: Any) -> LaneLogs:
    assert of.lanes is not None
    found: LaneLogs = of.lanes
    return found


def test_queue_order_holds_by_lane_and_not_across() -> None:
    mix = mix_of([small(1, 0.5), large(1, 0.5)])
    records = two_variants(mix, [0.1 * number for number in range(20)], [], "simpy")
    assert list(laws.violations(records, eager=False)) == []
    across = replace(records, replicas=tuple(replace(of, lanes=None) for of in records.replicas))
    assert any(found.startswith("L3") for found in laws.violations(across, eager=False))


def test_a_request_that_overtakes_within_its_lane_is_found() -> None:
    mix = mix_of([small(1, 0.5), large(1, 0.5)])
    records = two_variants(mix, [0.1 * number for number in range(20)], [], "simpy")
    lane = _lanes(records.replicas[0]).lane[records.replica[0]]
    one, other = np.flatnonzero(lane == 0)[:2]
    for column in (records.start_s, records.finish_s, records.batch):
        column[0, [one, other]] = column[0, [other, one]]
    assert any(found.startswith("L3") for found in laws.violations(records, eager=False))


def test_a_batch_above_its_own_lane_s_size_is_found() -> None:
    """Batches of 2 are in force at large alone."""
    mix = mix_of([replace(small(1, 0.5), batch=1), replace(large(1, 0.5), batch=2)])
    records = two_variants(mix, [0.0] * 6, [], "simpy")
    assert list(laws.violations(records, eager=False)) == []
    of = records.replicas[0]
    swapped = replace(of, lanes=_lanes(of)._replace(configured=_lanes(of).configured[::-1]))
    broken = replace(records, replicas=(swapped,))
    assert any(found.startswith("L4") for found in laws.violations(broken, eager=False))

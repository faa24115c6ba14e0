"""Runs that mix variants within a stage: both engines equal the oracle and each other, and every law holds."""

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
from ipa.sim.merged import LaneLogs
from ipa.sim.model import ServiceTime, StageModel, World
from ipa.sim.records import Recorder, Records, collect_records
from tests.sim import engine_runs, oracle
from tests.sim.blocks import blocks
from tests.sim.random_scenarios import mixing, resizing, scenario
from tests.sim.test_compiled import MODES as ALL_MODES
from tests.sim.test_compiled import differences

MODES = [mode for mode in ALL_MODES if mode[1] != "deadline"]  # lanes have no estimate of what is ahead
BLOCK = 25
BLOCKS = 8
SMALL, LARGE = ServiceTime((0.0, 1.0, 1.0)), ServiceTime((0.0, 2.0, 2.0))


def mixed(seed: int, dispatch: str, drop: str) -> dict[str, Any]:
    return mixing(scenario(seed, dispatch=dispatch, drop=drop, resize=resizing(seed)), seed)


@pytest.mark.parametrize("block", blocks(BLOCKS))
@pytest.mark.parametrize(("dispatch", "drop"), MODES)
def test_engine_equals_the_oracle(dispatch: str, drop: str, block: int) -> None:
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        drawn = engine_runs.with_engine_draws(mixed(seed, dispatch, drop), seed)
        records, expected = engine_runs.run(drawn, seed), oracle.simulate(drawn)
        assert engine_runs.difference(records, expected) is None, f"seed {seed}"
        assert records.run_end_s == expected["end_s"]
        assert records.integral_s.tolist() == pytest.approx(expected["queue_integral"], rel=1e-9, abs=1e-9)
        assert list(laws.violations(records, eager=dispatch == "eager")) == [], f"seed {seed}"


@pytest.mark.parametrize("block", blocks(BLOCKS))
@pytest.mark.parametrize(("dispatch", "drop"), MODES)
def test_both_engines_give_the_same_records(dispatch: str, drop: str, block: int) -> None:
    pytest.importorskip("numba")
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        drawn = mixed(seed, dispatch, drop)
        simpy, compiled = (engine_runs.run(drawn, seed, engine) for engine in ("simpy", "compiled"))
        assert list(differences(simpy, compiled)) == [], f"seed {seed}"


def test_most_of_these_scenarios_have_requests_in_several_lanes() -> None:
    several = [engine_runs.run(mixed(seed, "central", "request"), seed) for seed in range(100)]
    assert sum(any(len(set(_lanes(of).lane.tolist())) > 1 for of in records.replicas) for records in several) > 60


@pytest.mark.parametrize("engine", ["simpy", "compiled"])
@pytest.mark.parametrize(("dispatch", "drop"), MODES)
def test_lanes_change_nothing_where_nothing_is_mixed(engine: str, dispatch: str, drop: str) -> None:
    for seed in range(40):
        drawn = scenario(seed, dispatch=dispatch, drop=drop, resize=resizing(seed))
        plain, laned = (engine_runs.run(each, seed, engine) for each in (drawn, drawn | {"mix_draws": []}))
        different = [where for where in differences(plain, laned) if not where.endswith("lanes")]
        assert different == [], f"seed {seed}"


@pytest.mark.parametrize("engine", ["simpy", "compiled"])
def test_what_is_handed_over_at_the_end_is_what_is_kept(engine: str) -> None:
    for seed in range(20):
        drawn = mixed(seed, "central", "request")
        given: list[Handover] = []
        parts = engine_runs.parts(drawn)
        run = create_engine(engine, *parts, seed, given.append, mixes=True)
        decisions = iter(drawn["decisions"])
        for _ in run.steps(iter([time_s for time_s, _ in drawn["decisions"]])):
            run.apply(engine_runs.configuration(next(decisions)[1]))
        recorder = Recorder(parts[2], len(parts[0]))
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
) -> Records:
    """A stage with small (1 s a batch, ready 3 s after creation) and large (2 s, 4 s), batches of up to 2."""
    model = StageModel("a", {("small", 1): SMALL, ("large", 2): LARGE}, {"small": 3.0, "large": 4.0}, 100.0)
    world = World(20.0, 100.0)
    run = create_engine(engine, [model], world, np.array(arrivals_s), {"a": initial}, seed, mixes=True)
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

"""Random graphs of stages: both engines equal the oracle in every item, request and replica, and every law holds."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from ipa.profiles import Edge
from ipa.sim import laws
from ipa.sim.engines import create_engine
from ipa.sim.graph.draws import numbers_of_items
from ipa.sim.records import COMPLETED, OUTCOMES, Records
from ipa.sim.tables import served_accuracy
from tests.sim import engine_runs, graph_oracle, graph_runs
from tests.sim.test_engines import MODES, differences, kinds_and_blocks

BLOCK = 25
KINDS = {"plain": 40, "limited": 20}
"""How many blocks of graphs in each mode; for the kinds see `test_engines.KINDS`."""


@pytest.mark.parametrize(("kind", "block"), kinds_and_blocks(KINDS))
@pytest.mark.parametrize(("dispatch", "drop"), MODES)
def test_both_engines_equal_the_oracle(dispatch: str, drop: str, kind: str, block: int) -> None:
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        drawn = graph_runs.scenario(seed, dispatch=dispatch, drop=drop, kind=kind)
        records, expected = graph_runs.run(drawn, seed), graph_oracle.simulate(drawn)
        assert graph_runs.difference(records, expected) is None, f"seed {seed}"
        assert records.run_end_s == expected["end_s"]
        scored = graph_runs.with_accuracies(drawn, seed)
        accuracies = served_accuracy(graph_runs.pipeline_of(scored), records)
        assert accuracies.tolist() == pytest.approx(graph_oracle.accuracies(scored, expected), rel=1e-12), (
            f"seed {seed}"
        )
        assert records.integral_s.tolist() == pytest.approx(expected["queue_integral"], rel=1e-9, abs=1e-9)
        oldest_s = laws.oldest_s(engine_runs.parts(drawn, seed)[0])
        assert list(laws.violations(records, eager=dispatch == "eager", oldest_s=oldest_s)) == [], f"seed {seed}"
        if find_spec("numba"):
            compiled = graph_runs.run(drawn, seed, "compiled")
            assert list(differences(records, compiled)) == [], f"seed {seed}"


ENGINES = ["simpy", pytest.param("compiled", marks=pytest.mark.skipif(not find_spec("numba"), reason="needs numba"))]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_chain_written_as_a_graph_is_the_chain(engine: str) -> None:
    chains = 0
    for seed in range(120):
        drawn = graph_runs.scenario(seed)
        if not graph_runs.is_chain(drawn):
            continue
        chains += 1
        graph, chain = graph_runs.run(drawn, seed, engine), engine_runs.run(drawn, seed, engine)
        assert list(differences(_of_requests(graph), _of_requests(chain))) == [], f"seed {seed}"
        for position, part in enumerate(graph.items):
            came = np.isfinite(chain.enqueue_s[position])
            order = np.argsort(part.request)
            assert part.request[order].tolist() == np.flatnonzero(came).tolist()
            for name in ("enqueue_s", "start_s", "finish_s", "replica", "batch", "batch_size"):
                mine, whole = getattr(part, name)[0][order], getattr(chain, name)[position][came]
                assert np.array_equal(mine, whole, equal_nan=name.endswith("_s")), f"seed {seed}: {name}"
    assert chains > 10


@pytest.mark.skipif(not find_spec("numba"), reason="needs numba")
@pytest.mark.parametrize("dispatch", ["central", "eager"])
def test_a_stage_gets_places_for_more_items_than_there_are_requests(
    monkeypatch: pytest.MonkeyPatch, dispatch: str
) -> None:
    from ipa.sim.compiled import engine

    graphs = [graph_runs.scenario(seed, dispatch=dispatch) for seed in range(20)]
    whole = [graph_runs.run(drawn, seed, "compiled") for seed, drawn in enumerate(graphs)]
    monkeypatch.setattr(engine, "SPARE_PLACES", 1)
    few = [graph_runs.run(drawn, seed, "compiled") for seed, drawn in enumerate(graphs)]
    assert [list(differences(*both)) for both in zip(whole, few, strict=True)] == [[]] * 20
    more = [max(len(part.request) for part in each.items) > 1.25 * len(each.request) + 1 for each in few]
    assert sum(more) > 1


def _of_requests(records: Records) -> Records:
    """Without what is told of single stages."""
    none, nothing = np.zeros(0), np.zeros(0, dtype=np.int64)
    times, numbers = {"enqueue_s": none, "start_s": none, "finish_s": none}, {"replica": nothing, "batch": nothing}
    return replace(records, items=(), batch_size=nothing, **times, **numbers)  # type: ignore[arg-type]


def test_these_graphs_have_what_they_are_for() -> None:
    """Joins of every kind, conditions, fan-out, several entries, and requests that end in every way."""
    drawn = [graph_runs.scenario(seed) for seed in range(100)]
    joins = {kind for each in drawn for kind, _ in each["joins"].values()}
    edges = [edge for each in drawn for edge in each["edges"]]
    assert joins == {"all", "any", "wait"}
    assert any(edge["switch"] for edge in edges)
    assert any(edge["partial"] for edge in edges)
    assert any(edge["counts"] for edge in edges)
    records = [graph_runs.run(each, seed) for seed, each in enumerate(drawn)]
    assert {OUTCOMES[code] for each in records for code in each.outcome.tolist()} == set(OUTCOMES)
    more = [len(part.request) > len(each.request) for each in records for part in each.items]
    assert sum(more) > 20


# ---------------------------------------------------------------- by hand


def fork(**join: Any) -> dict[str, Any]:
    """Stage 0 (1 s) before 1 (1 s) and 2 (3 s), which 3 (1 s) joins; one replica each, no hop."""
    made = _world([1.0, 1.0, 3.0, 1.0], [0.0, 10.0])
    made["edges"] = [graph_runs.plain_edge(made, *ends) for ends in ((0, 1), (0, 2), (1, 3), (2, 3))]
    return made | {"joins": {3: join["join"]}, "edge_normals": [[0.0, 0.0]] * 4}


def _world(latencies_s: list[float], arrivals: list[float]) -> dict[str, Any]:
    sizes = range(1, 9)
    stages = [
        {
            "variants": {"a": {"latency_s": {1: dict.fromkeys(sizes, latency_s)}, "start_up_s": 1.0}},
            "drop_limit_s": 100.0,
        }
        for latency_s in latencies_s
    ]
    first = {"variant": "a", "cores": 1, "batch": 1, "replicas": 1, "batch_timeout_s": 0.0}
    return {
        "arrivals": arrivals,
        "duration_s": 30.0,
        "sla_s": 10.0,
        "stages": stages,
        "initial": [first for _ in stages],
        "decisions": [],
        "hop_s": 0.0,
        "stop_s": 0.0,
        "decision_delay_s": 0.0,
        "max_surge": 1,
        "max_unavailable": 0,
        "item_key": 0,
        "joins": {},
    }


@pytest.mark.parametrize("engine", ["oracle", *ENGINES])
@pytest.mark.parametrize(
    ("join", "entered_s", "ended_s"),
    [
        (("all", 0.0), [4.0, 14.0], [5.0, 15.0]),
        (("any", 0.0), [2.0, 12.0], [4.0, 14.0]),  # the slow branch still has to end
        (("wait", 1.5), [3.5, 13.5], [4.5, 14.5]),
    ],
)
def test_joins(engine: str, join: tuple[str, float], entered_s: list[float], ended_s: list[float]) -> None:
    made = fork(join=join)
    if engine == "oracle":
        result = graph_oracle.simulate(made)
        assert [item["enqueue"] for item in result["items"][3]] == entered_s
        assert [request["end"] for request in result["requests"]] == ended_s
        return
    records = graph_runs.run(made, 1, engine)
    assert records.items[3].enqueue_s[0].tolist() == entered_s
    assert records.end_s.tolist() == ended_s


def uneven(**world: Any) -> dict[str, Any]:
    """Stage 0 (1 s) before 1 (1 s) and 2 (4 s), each with replicas enough; limits that nobody meets."""
    made = _world([1.0, 1.0, 4.0], [0.0, 0.0, 0.0])
    made["edges"] = [graph_runs.plain_edge(made, 0, child) for child in (1, 2)]
    return made | {"edge_normals": [[0.0] * 3] * 2} | world


@pytest.mark.parametrize("engine", ["oracle", *ENGINES])
@pytest.mark.parametrize(("sla_s", "starts_s"), [(6.0, [0.0, 1.0]), (7.0, [0.0, 1.0, 2.0]), (4.9, [])])
def test_by_deadline_the_slowest_way_is_ahead(engine: str, sla_s: float, starts_s: list[float]) -> None:
    """5 s are ahead of a request at stage 0, of which it takes 1 s there: the fast branch would leave time for all."""
    made = uneven(sla_s=sla_s, drop="deadline")
    made["initial"] = [made["initial"][0], *(each | {"replicas": 9} for each in made["initial"][1:])]
    found = _starts(made, engine, 0)
    assert [start_s for start_s in found if start_s is not None] == starts_s


@pytest.mark.parametrize("engine", ["oracle", *ENGINES])
def test_by_deadline_a_join_that_waits_is_ahead_too(engine: str) -> None:
    made = uneven(sla_s=6.0, drop="deadline", joins={2: ("wait", 1.5)})
    assert _starts(made, engine, 0) == [None] * 3
    assert _starts(made | {"sla_s": 6.5}, engine, 0)[0] == 0.0


def _starts(made: dict[str, Any], engine: str, stage: int) -> list[float | None]:
    """When each item of a stage started; None if it did not."""
    if engine == "oracle":
        return [item.get("start") for item in graph_oracle.simulate(made)["items"][stage]]
    found = graph_runs.run(made, 1, engine).items[stage].start_s[0]
    return [None if np.isnan(moment_s) else float(moment_s) for moment_s in found]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("partial", "ended"), [(False, "dropped"), (True, "completed")])
def test_a_dropped_item_drops_its_request_unless_it_may_be_missing(engine: str, partial: bool, ended: str) -> None:
    """Three items at once, of which the last two are too old before their turn comes."""
    made = _world([1.0, 2.0], [0.0])
    made["stages"][1]["drop_limit_s"] = 2.5
    edge = graph_runs.plain_edge(made, 0, 1) | {"items": {"a": 3.0}, "partial": partial}
    made |= {"edges": [edge], "edge_normals": [[0.0]]}
    records = graph_runs.run(made, 1, engine)
    assert graph_runs.difference(records, graph_oracle.simulate(made)) is None
    assert [OUTCOMES[code] for code in records.items[1].outcome.tolist()] == ["completed", "dropped", "dropped"]
    assert OUTCOMES[records.outcome[0]] == ended
    assert records.end_s.tolist() == [3.0]


def test_an_entry_with_two_ways_of_one_switch_takes_one_of_them() -> None:
    made = _world([0.5, 0.5, 0.5], np.arange(0.0, 30.0, 0.01).tolist())
    edges = [graph_runs.plain_edge(made, 0, child) | {"switch": "kind", "share": share} for child, share in _SHARES]
    count = len(made["arrivals"])
    made |= {"edges": edges, "edge_normals": [[0.0] * count] * 2}
    for stage in made["initial"]:
        stage |= {"replicas": 60}
    records = graph_runs.run(made, 3)
    one, other = (part.request for part in records.items[1:])
    assert sorted([*one.tolist(), *other.tolist()]) == list(range(count))
    assert len(one) == pytest.approx(0.3 * count, abs=4 * np.sqrt(0.21 * count))
    assert (records.outcome == COMPLETED).all()


_SHARES = ((1, 0.3), (2, 0.7))


@pytest.mark.parametrize("join", [("all", 0.0), ("any", 0.0), ("wait", 0.5)])
def test_a_join_with_nothing_to_join_passes_items_on(join: tuple[str, float]) -> None:
    """As is left of a pipeline whose variants with several items are ruled out."""
    made = _world([1.0, 1.0], [0.0, 10.0])
    edge = graph_runs.plain_edge(made, 0, 1)
    made |= {"edges": [edge], "joins": {1: join}, "edge_normals": [[0.0, 0.0]]}
    expected = graph_oracle.simulate(made)
    assert [item["enqueue"] for item in expected["items"][1]] == [1.0 + join[1], 11.0 + join[1]]
    for engine in ["simpy", *(["compiled"] if find_spec("numba") else [])]:
        assert graph_runs.difference(graph_runs.run(made, 1, engine), expected) is None, engine


@pytest.mark.parametrize("engine", ENGINES)
def test_drops_are_read_from_a_number_on(engine: str) -> None:
    """Eight requests at once for a replica that takes 1 s, and nobody waits for more than 2.5 s."""
    made = _world([1.0], [0.0] * 8)
    made["stages"][0]["drop_limit_s"] = 2.5
    made |= {"edges": [], "edge_normals": []}
    built = create_engine(engine, *engine_runs.parts(made, 1, graph_runs.graph_of(made)))
    stage = graph_runs.go(built, made).stages[0]
    every, later = stage.drop_log(), stage.drop_log(2)
    assert every.requests.tolist() == [3, 4, 5, 6, 7]
    assert [column.tolist() for column in later[:2]] == [column[2:].tolist() for column in every[:2]]
    assert not len(stage.drop_log(5).requests)


@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0, 2.5])
@pytest.mark.parametrize("mean", [0.6, 1.1, 5.09, 17.5])
def test_numbers_of_items_have_their_mean_and_spread(mean: float, spread: float) -> None:
    edge = Edge("detect", "cars", items=mean, spread=spread)
    numbers = numbers_of_items(edge, "any", (np.arange(200_000) + 0.5) / 200_000)
    assert numbers.mean() == pytest.approx(mean, rel=1e-3)
    if spread == 0.0:
        assert set(numbers.tolist()) <= {int(mean), int(mean) + 1}
    elif mean > 5.0 or spread >= 1.0:  # a binomial number of a few trials comes only near to its spread
        assert numbers.var() / mean == pytest.approx(spread, rel=0.1)
    assert numbers.var() / mean == pytest.approx(edge.spread_of("any"), rel=1e-2)


def test_a_binomial_number_of_very_many_trials_is_drawn_like_a_poisson_number() -> None:
    """A hundred billion trials, of which nobody makes a table."""
    places = (np.arange(1_000) + 0.5) / 1_000
    many, poisson = (
        numbers_of_items(Edge("a", "b", 10_000.0, spread=spread), "any", places) for spread in (1 - 1e-7, 1)
    )
    assert np.abs(many - poisson).max() <= 1


def test_a_binomial_number_is_of_as_many_trials_as_come_nearest_to_its_spread() -> None:
    """Mean 2, spread 0.25: three trials of chance 2/3 have a spread of 1/3, and two would have none."""
    edge = Edge("detect", "cars", items=2.0, spread=0.25)
    numbers = numbers_of_items(edge, "any", (np.arange(27) + 0.5) / 27)
    assert np.bincount(numbers).tolist() == [1, 3 * 2, 3 * 4, 8]


def test_measured_numbers_are_drawn_as_often_as_they_were_measured() -> None:
    edge = Edge("detect", "cars", counts={"n": (3, 0, 3, 1)})
    assert numbers_of_items(edge, "n", np.array([0.1, 0.3, 0.6, 0.99])).tolist() == [0, 1, 3, 3]

"""Every registered policy decides for a graph, or says in a sentence that it does not take it."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from typing import Any

import pytest

from ipa.policies import (
    POLICIES,
    Ceiling,
    CoreLimit,
    PolicyError,
    ReplicaCounts,
    Steadiness,
    Steady,
    check_decision,
    create,
)
from ipa.policies.foresight.backlog import waiting_before
from ipa.profiles import Defaults, Edge, Graph, Join, Pipeline, Stage
from tests.tiny import configuration, observation, variant

DETECT = (variant("small", 0.5, 1, {1: 0.05, 2: 0.08}), variant("large", 0.8, 2, {1: 0.1, 2: 0.16}))
CARS = (variant("small", 0.6, 1, {1: 0.04, 2: 0.05}), variant("large", 0.9, 2, {1: 0.08, 2: 0.1}))

GRAPH = Graph(
    edges=(
        Edge("detect", "cars", items={"small": 2.0, "large": 4.0}),
        Edge("detect", "faces", share=0.5),
        Edge("cars", "merge"),
        Edge("faces", "merge"),
    ),
    sla_s=1.0,
    joins={"merge": Join("all")},
)
"""detect -> cars (2 or 4 items) and faces (half of the frames) -> merge, which joins them."""


def pipeline(graph: Graph = GRAPH) -> Pipeline:
    stages = [("detect", DETECT), ("cars", CARS), ("faces", CARS[:1]), ("merge", CARS[:1])]
    return Pipeline(
        "traffic",
        "",
        tuple(Stage(name, "task", 0.25, 1.0, of) for name, of in stages),
        Defaults(load_margin=0.0),
        graph=graph,
    )


AT_HAND = configuration(
    detect=("small", 1, 1, 1), cars=("small", 1, 1, 1), faces=("small", 1, 1, 1), merge=("small", 1, 1, 1)
)
SEEN = observation([10.0] * 60, at_hand=AT_HAND, future_rps=[10.0] * 120, busy=dict.fromkeys(AT_HAND, 0.9))


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_decides_on_a_graph(name: str) -> None:
    decision = create(name, pipeline()).decide(replace(SEEN, peak_rps=10.0), {})
    check_decision(pipeline(), decision)


@pytest.mark.parametrize("name", ["ipa", "inferline"])
def test_a_plan_counts_what_a_join_waits(name: str) -> None:
    """The fastest variants take 0.13 s of an SLA of 1 s; a wait of 0.6 s leaves enough, one of 0.95 s does not."""

    def keeps_the_sla(wait_s: float) -> bool:
        waiting = replace(GRAPH, joins={"merge": Join("wait", wait_s)})
        return create(name, pipeline(waiting)).decide(SEEN, {}).feasible

    assert keeps_the_sla(0.6)
    assert not keeps_the_sla(0.95)


TREE = Graph(GRAPH.edges[:2], sla_s=0.6)
"""detect -> cars and detect -> faces; merge is an entry of its own, beside them."""


def test_a_rate_sizes_each_stage_by_its_items() -> None:
    """10 rps and 20 % more: 12 frames, 24 cars, 6 faces and 12 frames to merge a second, of 20 to 25 per replica."""
    decision = create("rate batch=1", pipeline()).decide(SEEN, {})
    counts = {name: each.replicas for name, each in decision.configuration.items()}
    assert counts == {"detect": 1, "cars": 1, "faces": 1, "merge": 1}
    more = create("rate batch=1", pipeline()).decide(observation([50.0] * 60, at_hand=AT_HAND), {})
    counts = {name: each.replicas for name, each in more.configuration.items()}
    assert counts == {"detect": ceil(60 / 20), "cars": ceil(120 / 25), "faces": ceil(30 / 25), "merge": ceil(60 / 25)}


def test_scale_only_plans_for_what_its_detector_finds() -> None:
    """At 20 rps the large detector finds 80 cars a second, the small one 40."""
    seen = observation([20.0] * 60, at_hand=AT_HAND)
    few, many = (
        create(f"scale-only variants={{detect: {name}, cars: small, faces: small, merge: small}}", pipeline())
        .decide(seen, {})
        .configuration["cars"]
        for name in ("small", "large")
    )
    throughputs_rps = {1: 25.0, 2: 40.0}
    assert few.replicas == ceil(40 / throughputs_rps[few.batch])
    assert many.replicas == ceil(80 / throughputs_rps[many.batch])


@pytest.mark.parametrize("solver", ["gurobi", "highs"])
def test_a_general_solver_is_refused_at_once(solver: str) -> None:
    pytest.importorskip({"gurobi": "gurobipy", "highs": "highspy"}[solver])
    with pytest.raises(PolicyError, match=f"solver='{solver}' takes chains only.*traffic form a graph"):
        create(f"ipa solver={solver}", pipeline())
    create(f"ipa solver={solver} solver_fallback=exact", pipeline()).decide(SEEN, {})


def test_what_waits_before_a_stage_of_a_graph_counts_in_requests() -> None:
    """30 cars are 15 frames; what waits at the detector is still to come everywhere, what waits at faces is not.

    The 3 faces are of 3 frames, each of which is yet to be merged, though faces are planned as half of the frames.
    """
    seen = observation([10.0], at_hand=AT_HAND, queue_length={"detect": 4, "cars": 30, "faces": 3, "merge": 1})
    found = waiting_before(pipeline(), seen)
    assert found == {"detect": 4.0, "cars": 4.0 + 15.0, "faces": 4.0 + 6.0, "merge": 4.0 + 15.0 + 3.0 + 1.0}


def branch(share: float) -> Pipeline:
    """detect -> rare for a share of the requests, and detect -> merge, to which rare leads as well."""
    edges = (Edge("detect", "rare", share=share), Edge("detect", "merge"), Edge("rare", "merge"))
    graph = Graph(edges, sla_s=1.0, joins={"merge": Join("all")})
    stages = [("detect", DETECT), ("rare", CARS[:1]), ("merge", CARS[:1])]
    return Pipeline(
        "branch",
        "",
        tuple(Stage(name, "task", 0.25, 1.0, of) for name, of in stages),
        Defaults(load_margin=0.0),
        graph=graph,
    )


RARE = dict.fromkeys(("detect", "rare", "merge"), AT_HAND["merge"])


@pytest.mark.parametrize("name", ["oracle", "foresight"])
@pytest.mark.parametrize("share", [0.01, 0.5])
def test_one_item_behind_a_branch_changes_no_plan(name: str, share: float) -> None:
    """One of 100 requests comes there, but one item is not 100 requests: the one replica serves it in 0.04 s."""

    def planned_rps(waiting: int) -> float | None:
        queues = {"detect": 1, "rare": waiting}
        load: dict[str, Any] = {"future_rps": [10.0] * 120, "queue_length": queues, "arrivals": queues}
        return create(name, branch(share)).decide(observation([10.0] * 60, at_hand=RARE, **load), {}).planned_load_rps

    assert planned_rps(1) == planned_rps(0)


def test_the_oracle_plans_for_what_waits_and_is_not_taken_next() -> None:
    """40 items wait there, and the ready replica takes one of them next. They and the 40 frames of a second are to be
    served within a quarter of the SLA of its end."""
    queues = {"rare": 40}
    seen = observation([40.0] * 60, at_hand=RARE, future_rps=[40.0] * 120, queue_length=queues, arrivals=queues)
    assert create("oracle", branch(0.5)).decide(seen, {}).planned_load_rps == (39 + 40) / 1.25


def test_a_ceiling_counts_items() -> None:
    """10 rps at half the throughput: 10 frames of 10, 20 cars of 12.5, 5 faces of 12.5, 10 frames of 12.5."""
    static = create("static:1,1,1,1", pipeline())
    decision = Ceiling(static, pipeline(), utilisation=0.5).decide(SEEN, {})
    counts = [each.replicas for each in decision.configuration.values()]
    assert counts == [1, 2, 1, 1]


@pytest.mark.parametrize(("load_rps", "expected"), [(60.0, 6), (40.0, 4)])
def test_waiting_for_what_starts_counts_items(load_rps: float, expected: int) -> None:
    """Four replicas serve 100 cars a second: enough for 40 frames, and not for 60, of two cars each."""
    at_hand = {**AT_HAND, "cars": replace(AT_HAND["cars"], replicas=4)}
    starting = {"cars": ReplicaCounts(ready=3, starting=1)}
    seen = observation([load_rps] * 60, at_hand=at_hand, replicas=starting)
    guarded = Steady(create("static:1,6,1,1", pipeline()), pipeline(), Steadiness(wait_for_starting=True))
    assert guarded.decide(seen, {}).configuration["cars"].replicas == expected


def test_a_fixed_batch_fills_at_the_rate_of_its_items() -> None:
    """10 frames a second are 20 cars: the second car of a batch comes within 0.05 s; faces take 0.2 s."""
    fixed = create("static:small:2:1,small:2:1,small:2:1,small:2:1", pipeline(), {"planned_load_rps": 10})
    waits_s = [each.batch_timeout_s for each in fixed.decide(SEEN, {}).configuration.values()]
    assert waits_s == pytest.approx([0.1, 0.05, 0.2, 0.1])


def test_a_core_limit_takes_from_where_the_most_requests_are_sustained() -> None:
    """Three replicas each, two would serve 40, 20 (cars: 2 items), 100 (faces: 0.5) and 50 requests a second."""
    static = create("static:3,3,3,3", pipeline())
    seen = observation([10.0] * 60, at_hand=AT_HAND, limit_cores=11)
    decision = CoreLimit(static, pipeline()).decide(seen, {})
    assert [each.replicas for each in decision.configuration.values()] == [3, 3, 2, 3]

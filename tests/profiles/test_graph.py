"""What follows from a graph of stages: items per request, ways, accuracies, and what is left of it on a cluster."""

from __future__ import annotations

import pickle
from dataclasses import replace
from itertools import islice

import pytest

from ipa.profiles import Defaults, Edge, Graph, Join, Limits, Pipeline, ProfileError, Stage, default_rules
from tests.tiny import variant

LIGHT = variant("light", 0.5, 1, {1: 0.1})
EXACT = variant("exact", 0.8, 2, {1: 0.2})
ONLY = variant("only", 0.9, 1, {1: 0.1})

EDGES = (
    Edge("detect", "cars", {"light": 2.0, "exact": 5.0}, spread=0.5),
    Edge("detect", "faces", 0.5),
    Edge("cars", "check", share=0.4),
)


def tree(edges: tuple[Edge, ...] = EDGES, **keys: object) -> Pipeline:
    """detect -> cars -> check, and detect -> faces; SLAs of 1 s a stage, of 3 s in all."""
    stages = {"detect": (LIGHT, EXACT), "cars": (ONLY,), "faces": (ONLY,), "check": (ONLY,)}
    graph = Graph(edges, sla_s=3.0, assumes_product=True, **keys)  # type: ignore[arg-type]
    return Pipeline(
        name="tree",
        description="",
        stages=tuple(Stage(name, "task", 1.0, 1.0, variants) for name, variants in stages.items()),
        defaults=Defaults(load_rps=10.0, load_margin=0.0),
        graph=graph,
    )


def graph_of(pipeline: Pipeline) -> Graph:
    assert pipeline.graph is not None
    return pipeline.graph


def test_the_slowest_of_a_million_ways_are_found_first() -> None:
    """Twenty diamonds in a row: the slowest way takes the slower side of each, the next one the faster side of one."""
    edges, weights = [], {"s0": 0.0}
    for number in range(20):
        before, after = f"s{number}", f"s{number + 1}"
        weights |= {f"fast{number}": 1.0, f"slow{number}": 2.0, after: 0.0}
        edges += [Edge(before, f"fast{number}"), Edge(before, f"slow{number}")]
        edges += [Edge(f"fast{number}", after), Edge(f"slow{number}", after)]
    graph = Graph(tuple(edges), sla_s=1.0, assumes_product=True)
    sums = [sum(weights[stage] for stage in way) for way in islice(graph.ways(weights), 22)]
    assert sums == [40.0, *[39.0] * 20, 38.0]
    alike = dict.fromkeys(weights, 1.0)
    assert [len(way) for way in islice(graph.ways(alike), 22)] == [41] * 22


def test_the_ways_go_from_entries_to_exits_and_the_longest_is_that_of_the_largest_sum() -> None:
    graph = graph_of(tree())
    weights = {"detect": 1.0, "cars": 1.0, "faces": 3.0, "check": 1.0}
    assert list(graph.ways(weights)) == [("detect", "faces"), ("detect", "cars", "check")]
    assert graph.longest_way({"detect": 1.0, "cars": 1.0, "faces": 1.5, "check": 1.0}) == ("detect", "cars", "check")
    assert graph.longest_way({"detect": 1.0, "cars": 1.0, "faces": 2.5, "check": 1.0}) == ("detect", "faces")
    assert graph.ancestors("check") == {"detect", "cars"}


def test_the_rules_for_defaults_count_the_items_that_each_stage_gets() -> None:
    """10 rps; a replica of `light` and `only` serves 10 rps, of `exact` 5."""
    made = tree()
    ends = made.defaults.scale_only
    assert (ends["low"]["detect"], ends["high"]["detect"]) == ("light", "exact")
    loads = default_rules.stage_loads_rps(made, ends["high"], 10.0)
    assert loads == {"detect": 10.0, "cars": 50.0, "faces": 5.0, "check": 20.0}
    total = default_rules.total_cores(made, ends["high"], 10.0)
    assert total == 2 * 2 + 5 + 1 + 2
    assert made.defaults.switch_only_replicas == {"detect": 2, "cars": 3, "faces": 1, "check": 2}
    low, high = (default_rules.combined_accuracy(made, ends[each]) for each in ends)
    assert low == pytest.approx(0.5 * (0.9 * 0.9 + 0.9) / 2)
    assert high == pytest.approx(0.8 * (0.9 * 0.9 + 0.9) / 2)
    cores = total - (1 + 2 + 1 + 1)
    assert made.defaults.alpha == float(f"{cores / (high - low):.3g}")


def test_accuracies_that_were_measured_together_count_before_products() -> None:
    together = {("light", *["only"] * 3): 0.6, ("exact", *["only"] * 3): 0.3}
    made = tree(accuracies=together)
    assert made.accuracy_of(["exact", "only", "only", "only"]) == 0.3
    assert made.defaults.scale_only["high"]["detect"] == "light"


def test_exits_weigh_what_the_file_says_and_others_nothing() -> None:
    of = {"detect": 0.8, "cars": 0.5, "faces": 0.25, "check": 0.5}
    assert graph_of(tree()).accuracy(of) == pytest.approx((0.8 * 0.5 * 0.5 + 0.8 * 0.25) / 2)
    assert graph_of(tree(exits={"check": 3.0, "faces": 1.0})).accuracy(of) == pytest.approx((3 * 0.2 + 0.2) / 4)
    assert graph_of(tree(exits={"faces": 2.0})).accuracy(of) == pytest.approx(0.2)


def test_on_a_cluster_the_graph_is_without_what_is_ruled_out() -> None:
    together = {("light", *["only"] * 3): 0.6, ("exact", *["only"] * 3): 0.3}
    left = tree(accuracies=together).within(Limits(ruled_out={"detect": ["exact"]}))
    assert graph_of(left).edges[0].items == {"light": 2.0}
    assert graph_of(left).accuracies == {("light", "only", "only", "only"): 0.6}
    assert left.accuracy_of(["light", "only", "only", "only"]) == 0.6


def test_a_join_stays_where_the_variants_that_gave_it_several_items_are_ruled_out() -> None:
    """`light` puts at most one car on its edge: nothing is left to join, which does no harm."""
    edges = (replace(EDGES[0], items={"light": 0.5, "exact": 5.0}, spread=0.0), *EDGES[1:])
    left = tree(edges, joins={"cars": Join("any")}).within(Limits(ruled_out={"detect": ["exact"]}))
    assert graph_of(left).joins == {"cars": Join("any")}
    assert graph_of(left).factors(list(left.by_name), dict.fromkeys(left.by_name, "only") | {"detect": "light"}) == {
        "detect": 1.0,
        "cars": 0.5,
        "faces": 0.5,
        "check": 0.2,
    }


def test_another_sla_is_the_graphs_and_shared_out_to_the_stages() -> None:
    other = tree().with_limits(0.3, {})
    assert other.sla_s == 0.3
    assert [round(stage.sla_s, 12) for stage in other.stages] == [0.1] * 4
    assert tree().with_limits(None, {}) == tree()


def test_a_graph_is_pickled_as_it_is() -> None:
    made = tree(joins={"check": Join("any")})
    assert pickle.loads(pickle.dumps(made)) == made


def test_an_edge_is_plain_if_each_item_becomes_one() -> None:
    assert Edge("a", "b").is_plain
    assert Edge("a", "b", {"x": 1.0, "y": 1.0}).is_plain
    for changes in ({"items": {"x": 1.0, "y": 2.0}}, {"spread": 0.5}, {"share": 0.5}, {"partial": True}):
        assert not replace(Edge("a", "b"), **changes).is_plain
    assert not Edge("a", "b", counts={"x": (1, 1)}).is_plain


def test_an_edge_may_carry_none_unless_each_item_surely_becomes_some() -> None:
    for edge in (Edge("a", "b"), Edge("a", "b", 2.5), Edge("a", "b", {"x": 1.0}), Edge("a", "b", counts={"x": (1, 3)})):
        assert not edge.may_carry_none
        for changes in ({"share": 0.9}, {"partial": True}, {"items_from": "boxes"}, {"switch": "either"}):
            assert replace(edge, **changes).may_carry_none
    for edge in (Edge("a", "b", 0.5), Edge("a", "b", 2.0, spread=0.1), Edge("a", "b", counts={"x": (1,), "y": (2, 0)})):
        assert edge.may_carry_none


@pytest.mark.parametrize(
    ("edge", "answer"),
    [
        (Edge("cars", "detect"), "tree: cars -> detect: stage: a circle: cars -> detect -> cars"),
        (Edge("crs", "check"), "tree: crs -> check: stage: no stage is called 'crs'; did you mean 'cars'"),
        (Edge("detect", "check", share=0.0), "tree: detect -> check: share: should be above 0 and at most 1; given"),
        (Edge("detect", "check", -1.0), "tree: detect -> check: items: should be finite and at least 0; given -1.0"),
        (Edge("detect", "check", 2.0, counts={"light": (1,), "exact": (1,)}), "counts: say how many items"),
    ],
)
def test_a_graph_made_in_code_keeps_the_same_laws(edge: Edge, answer: str) -> None:
    with pytest.raises(ProfileError) as caught:
        tree((*EDGES, edge))
    assert answer in str(caught.value)


def test_a_graph_has_no_pairs() -> None:
    with pytest.raises(ProfileError, match="pair_accuracies are those of a chain"):
        replace(tree(), pair_accuracies={"light": {"only": 0.5}, "exact": {"only": 0.5}})


def test_a_graph_with_a_billion_ways_has_an_accuracy_and_ancestors() -> None:
    """Thirty diamonds one after the other: every way passes the same 61 accuracies."""
    edges: list[Edge] = []
    stages = ["join0"]
    for k in range(30):
        before, one, other, after = f"join{k}", f"one{k}", f"other{k}", f"join{k + 1}"
        edges += [Edge(before, one), Edge(before, other), Edge(one, after), Edge(other, after)]
        stages += [one, other, after]
    graph = Graph(tuple(edges), sla_s=1.0)
    assert graph.accuracy(dict.fromkeys(stages, 0.99)) == pytest.approx(0.99**61)
    assert graph.ancestors("join30") == set(stages) - {"join30"}

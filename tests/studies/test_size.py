"""Runs that no machine could finish are refused before they begin."""

from __future__ import annotations

import pytest

from ipa import traces
from ipa.profiles import Edge, Graph, Pipeline, Stage
from ipa.studies import Scenario, ScenarioError
from ipa.studies.runs.run import check_size, visits_of
from tests.tiny import variant

MIB = 2**20


def scenario(**keys: object) -> Scenario:
    return Scenario(pipeline="video").with_values(keys)


def test_a_run_that_fits_is_let_through() -> None:
    """1,000 requests x (10 + 2 x 130 bytes) and 10 decisions x 3 kB are 0.3 MB."""
    load = traces.constant(10.0, 100)
    check_size(scenario(), load, 2, memory_bytes=300_000)
    with pytest.raises(ScenarioError, match="1,000 requests and 10 decisions need about"):
        check_size(scenario(), load, 2, memory_bytes=299_999)


def test_the_way_round_is_named_where_there_is_one() -> None:
    """A million requests: 258 MiB with all records, 110 MiB with a sample, 10 MB without."""
    load = traces.constant(1000.0, 1000)
    with pytest.raises(ScenarioError, match=r"use records: sample \(--set records=sample\), a part"):
        check_size(scenario(), load, 2, memory_bytes=120 * MIB)
    check_size(scenario(records="sample"), load, 2, memory_bytes=120 * MIB)
    with pytest.raises(ScenarioError, match=r"use records: none \(--set records=none\), a part"):
        check_size(scenario(), load, 2, memory_bytes=20 * MIB)
    check_size(scenario(records="none"), load, 2, memory_bytes=20 * MIB)
    with pytest.raises(ScenarioError) as error:
        check_size(scenario(), load, 2, memory_bytes=MIB)
    assert "--set records=none" not in str(error.value)
    assert "--window" in str(error.value)


def test_decisions_without_end_are_refused() -> None:
    with pytest.raises(ScenarioError, match=r"interval_s 1e-09: makes 100,000,000,000 decisions in 100 s; allowed"):
        check_size(scenario(interval_s=1e-9), traces.constant(10.0, 100), 2)


def test_a_graph_keeps_its_items_whatever_records_are_asked_for() -> None:
    """A million requests of three items: 1,011 MiB."""
    load = traces.constant(1000.0, 1000)
    check_size(scenario(records="none"), load, 3, memory_bytes=1_020 * MIB, is_graph=True)
    with pytest.raises(ScenarioError) as error:
        check_size(scenario(records="none"), load, 3, memory_bytes=1_000 * MIB, is_graph=True)
    assert "; use a part of the load (--window)" in str(error.value)


def test_the_items_of_a_request_are_counted_along_the_ways() -> None:
    """Of the first stage, `few` sends its one item where it becomes nine; `many` sends three where it ends."""
    variants = (variant("few", 0.5, 1, {1: 0.1}), variant("many", 0.8, 1, {1: 0.1}))
    graph = Graph(
        (
            Edge("start", "short", {"few": 0.0, "many": 3.0}),
            Edge("start", "long", {"few": 1.0, "many": 0.0}),
            Edge("long", "end", 9.0),
        ),
        sla_s=1.0,
        assumes_product=True,
    )
    stages = tuple(Stage(name, "task", 1.0, 1.0, variants) for name in ("start", "short", "long", "end"))
    assert visits_of(Pipeline("made", "", stages, graph=graph)) == 1 + 1 + 9

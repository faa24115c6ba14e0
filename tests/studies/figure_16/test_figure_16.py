"""Figure 16: what is changed can be run, and what is lost is lost when and where it should be."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from ipa.policies import create_predictor
from ipa.sim import DROPPED, Records
from ipa.studies import simulate
from ipa.studies.many.outcome import INTERRUPTED, exposed
from tests.studies.figure_16.late import Late
from tests.studies.figure_16.losing import interrupted, losing
from tests.studies.figure_16.runs import Lost, in_order, scenario_of
from tests.studies.figure_16.settings import FORECASTS, PIPELINES, Setting, one_by_one, together
from tests.tiny import observation

PLAIN = Setting("as published")


def run(*losses: str) -> Records:
    """The reactive forecast on video, which changes replicas and batch sizes often."""
    scenario = scenario_of("video", "reactive", PLAIN, 1).with_values({"engine": "simpy"})
    with losing(losses):
        return simulate(scenario).records


def early(records: Records) -> set[tuple[int, float]]:
    """Stage and time of the drops of requests that are within their limit of 10 s."""
    dropped = np.flatnonzero((records.outcome == DROPPED) & (records.end_s - records.arrival_s <= 10.0))
    return {(int(records.dropped_stage[each]), float(records.end_s[each])) for each in dropped}


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_everything_that_is_changed_is_a_key_of_a_scenario(pipeline: str) -> None:
    for setting in (*one_by_one(pipeline), *(setting for _, setting in together())):
        for forecast in FORECASTS:
            assert scenario_of(pipeline, forecast, setting, 2).seed == 2
    as_published = scenario_of(pipeline, "lstm", PLAIN, 1)
    assert (as_published.decision_delay_s, as_published.dispatch, as_published.drop) == (2.0, "eager", "batch")


def test_stages_that_lose_nothing_are_those_of_the_model() -> None:
    plain, same = simulate(scenario_of("video", "reactive", PLAIN, 1)).records, run()
    assert np.array_equal(plain.end_s, same.end_s, equal_nan=True)
    assert not early(same)


def test_what_waits_at_a_replica_is_lost_when_it_is_removed() -> None:
    records = run("at replicas")
    removals = {
        (stage, float(removed_s))
        for stage, replicas in enumerate(records.replicas)
        for removed_s in replicas.removed_s[np.isfinite(replicas.removed_s)]
    }
    assert early(records)
    assert early(records) <= removals


def test_what_waits_in_a_queue_is_lost_when_its_batch_size_changes() -> None:
    records = run("at the queue")
    changes = {
        (stage, since_s)
        for stage, configured in enumerate(records.configured)
        for (_, before), (since_s, size) in pairwise(configured)
        if size != before
    }
    assert early(records)
    assert early(records) <= changes


def test_interrupted_are_those_in_service_at_a_replica_when_it_is_removed() -> None:
    records = run()
    found = interrupted(records)
    assert 0 < found.sum() <= exposed(records)[INTERRUPTED]  # which counts one twice that is interrupted at both stages


def test_a_late_forecast_is_that_of_some_seconds_ago() -> None:
    load = tuple(float(second % 17) for second in range(130))
    plain = create_predictor("lstm")
    seen = replace(observation(load), load_rps=load[:-10])
    assert Late("lstm", 10).forecast(observation(load), 20.0) == plain.forecast(seen, 20.0)


@pytest.mark.parametrize(
    ("requests", "is_in_order"),
    [((43, 69, 368), True), ((131, 132, 683), True), ((0, 0, 0), False), ((5, 4, 9), False), ((5, 5, 5.4), False)],
)
def test_the_published_order(requests: tuple[float, ...], *, is_in_order: bool) -> None:
    of = {forecast: Lost(count, 0.0) for forecast, count in zip(FORECASTS, requests, strict=True)}
    assert in_order(of) is is_in_order

"""An outage of the metrics: what control steps see in it and after it, on both engines."""

from __future__ import annotations

from importlib.util import find_spec
from math import isnan
from typing import Any

import numpy as np
import pytest

from ipa.policies import POLICIES, to_line
from ipa.sim.load_view import LoadView
from ipa.studies import Run, Scenario, ScenarioError, simulate

ENGINES = ["simpy", *(["compiled"] if find_spec("numba") else [])]


def run(**keys: Any) -> Run:
    """100 s of five requests a second, evenly spaced; no metrics come from 25 s to 55 s."""
    given = {
        "trace": "constant:5:100",
        "arrivals": "even",
        "outages": "25:55",
        "policy": "static:yolov5n:1:2,resnet18:1:2",
    }
    return simulate(Scenario(pipeline="video").with_values({**given, **keys}))


@pytest.mark.parametrize("engine", ENGINES)
def test_steps_in_an_outage_see_nothing_and_the_first_one_after_it_counts_all(engine: str) -> None:
    seen = {entry.observation.time_s: entry.observation for entry in run(engine=engine, journal="full").entries[1:]}
    assert {time_s: each.sample_age_s for time_s, each in seen.items() if each.is_silent} == {30: 10, 40: 20, 50: 30}
    for each in seen.values():
        first = next(iter(each.stages.values()))
        if each.is_silent:
            assert (first.arrivals, first.completions, first.queue_length, first.in_service) == (0, 0, 0, 0)
            assert first.replicas  # known to whatever keeps them alive
        else:
            assert first.arrivals == {20.0: 50, 60.0: 200}.get(each.time_s, 50)
    dark = seen[40].load_rps
    assert set(dark[:-20]) == {5.0}
    assert all(map(isnan, dark[-20:]))
    after = seen[60].load_rps
    assert after[-5:] == (5.0,) * 5
    assert all(map(isnan, after[-35:-5]))
    assert after[-40:-35] == (5.0,) * 5
    assert first.busy_fraction is not None


def test_seconds_that_lie_in_an_outage_only_in_part_have_no_sample() -> None:
    view = LoadView(np.arange(0.0, 60.0), np.ones(5), 5, 60.0, outages=((10.5, 12.5),))
    assert [isnan(count) for count in view.before(14.0)] == [False, True, True, True, False]
    assert [isnan(count) for count in view.before(13.75)] == [False, True, True, True, False]
    assert [view.is_dark(time_s) for time_s in (10.0, 10.5, 12.0, 12.5)] == [False, True, True, False]
    assert view.after(10.0, 60.0)[:3] == (1.0, 1.0, 1.0)  # the future is what it is


@pytest.mark.skipif(len(ENGINES) == 1, reason="numba is not installed")
@pytest.mark.parametrize("policy", POLICIES)
def test_both_engines_are_equal_in_an_outage_under_every_policy(policy: str) -> None:
    world = {
        "trace": "bursty",
        "window": "300:480",
        "outages": "35:70,120:150",
        "policy": policy,
        "arrivals": "poisson",
    }
    simpy, compiled = (run(**world, engine=engine) for engine in ENGINES)
    assert [to_line(entry) for entry in simpy.entries] == [to_line(entry) for entry in compiled.entries]
    for name, table in simpy.tables.items():
        assert table.equals(compiled.tables[name]), name


def test_what_happens_is_the_same_where_nothing_is_decided() -> None:
    dark, lit = run(), run(outages=None)
    for name in ("requests", "stages", "replicas"):
        assert dark.tables[name].equals(lit.tables[name]), name


@pytest.mark.parametrize("given", ["55:25", "-5:10", "soon"])
def test_an_outage_that_cannot_be_is_refused(given: str) -> None:
    with pytest.raises(ScenarioError, match="outages: "):
        Scenario(pipeline="video").with_values({"outages": given})

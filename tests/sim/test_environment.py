"""The events engine's environment: calls at absolute times, beside SimPy's own events and processes."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
import simpy

from ipa.sim.events.environment import Environment


def test_calls_and_a_process_of_simpy_s_own_happen_in_order_of_time_then_priority() -> None:
    environment, log = Environment(stages=2), []

    def process() -> Generator[simpy.Event, Any, None]:
        for _ in range(2):
            yield environment.timeout(1.0)
            log.append((environment.now, "process"))

    environment.process(process())
    environment.at(1.0, environment.priority(3, stage=1), lambda about, now_s: log.append((now_s, about)), "late")
    environment.at(1.0, environment.priority(0), lambda about, now_s: log.append((now_s, about)), "early")
    environment.at(1.5, environment.priority(0), lambda about, now_s: log.append((now_s, about)), "between")
    environment.run()
    assert log == [(1.0, "early"), (1.0, "process"), (1.0, "late"), (1.5, "between"), (2.0, "process")]


def test_run_stops_where_a_call_says_so_and_goes_on_with_what_is_due_next() -> None:
    environment, log = Environment(stages=1), []
    environment.at(1.0, 0, lambda _, now_s: environment.stop(now_s))
    environment.at(1.0, 1, lambda _, now_s: log.append(now_s))
    assert (environment.run(), log) == (1.0, [])
    assert (environment.run(), log) == (None, [1.0])


def test_nothing_due_is_simpy_s_own_error() -> None:
    with pytest.raises(simpy.core.EmptySchedule):
        Environment(stages=1).step()

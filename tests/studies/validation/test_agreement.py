"""Whether the same was decided."""

from __future__ import annotations

import pandas as pd
import pytest

from ipa.studies import prepare, simulate
from ipa.studies.validation.decisions import Agreement, decided, in_closed_loop, simulate_decisions
from tests.studies.validation.worlds import BASE, OVERHEADS

pytestmark = pytest.mark.usefixtures("elsewhere")


def decisions(
    *replicas: int, interval_s: float = 10.0, skipped: int | None = None, refused: tuple[int, ...] = ()
) -> pd.DataFrame:
    """One stage, one row a step with so many replicas."""
    rows = [
        {
            "step": step,
            "time_s": step * interval_s + 0.003 * (step > 0),
            "stage": "s",
            "variant": "v",
            "batch": 1,
            "replicas": wanted,
            "cores": 1,
            "batch_timeout_s": 0.0,
            "accepted": step not in refused,
        }
        for step, wanted in enumerate(replicas)
        if step != skipped
    ]
    return pd.DataFrame(rows)


def test_decisions_in_closed_loop_are_compared_step_by_step_but_for_the_start() -> None:
    assert in_closed_loop(decisions(9, 1, 2, 3), decisions(1, 1, 2, 4), 10.0) == Agreement(2, 3)


def test_a_skipped_step_is_not_an_equal_one() -> None:
    assert in_closed_loop(decisions(1, 1, 2, 3, skipped=2), decisions(1, 1, 2, 3), 10.0) == Agreement(2, 3)


def test_a_refused_decision_is_not_an_equal_one_and_never_came_in_force() -> None:
    live = decisions(1, 1, 2, 3, refused=(2,))
    assert in_closed_loop(live, decisions(1, 1, 2, 3), 10.0) == Agreement(2, 3)
    assert [configuration["s"].replicas for _, configuration in decided(live)] == [1, 1, 3]


@pytest.mark.parametrize("engine", ["simpy", "auto"])
def test_a_run_with_its_own_decisions_is_the_same_run(engine: str) -> None:
    scenario = BASE.with_values({**OVERHEADS, "window": "100:220", "engine": engine, "service_times": "lognormal"})
    run = simulate(scenario)
    again = simulate_decisions(prepare(scenario), decided(run.tables["decisions"]))
    for name, table in again.items():
        pd.testing.assert_frame_equal(table, run.tables[name])

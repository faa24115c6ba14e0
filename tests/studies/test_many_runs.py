"""Many runs in one call: each has the summary that it would have by itself."""

from __future__ import annotations

from typing import Any

from ipa.studies import Scenario, Shared, simulate, summaries

SHORT: dict[str, Any] = {"pipeline": "video", "trace": "bursty", "window": "0:60", "records": "none"}
LONG: dict[str, Any] = {**SHORT, "window": "0:120"}
FAILING: dict[str, Any] = {**SHORT, "policy": "no-such-policy"}


def figures(summary: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in summary.items() if name != "wall_s"}


def test_each_run_has_the_summary_that_it_has_alone_in_the_order_given() -> None:
    scenarios = [
        Scenario(**{**given, "seed": seed, "policy": {"name": policy, **parameters}})
        for given in (SHORT, LONG)
        for policy, parameters in (("ipa", {}), ("ipa", {"alpha": 0.5}), ("rate", {}))
        for seed in (1, 2)
    ]
    found = [figures(each) for each in summaries(scenarios) if isinstance(each, dict)]
    assert found == [figures(simulate(each).summary) for each in scenarios]


def test_a_run_that_fails_is_answered_with_its_error_and_the_next_ones_go_on() -> None:
    first, failed, last = summaries(Scenario(**given) for given in (SHORT, FAILING, SHORT))
    assert isinstance(failed, str)
    assert "no-such-policy" in failed
    assert isinstance(first, dict)
    assert isinstance(last, dict)
    assert figures(first) == figures(last)


def test_what_is_shared_serves_further_calls() -> None:
    shared = Shared()
    (once,), (again,) = (list(summaries([Scenario(**SHORT)], shared)) for _ in range(2))
    assert isinstance(once, dict)
    assert isinstance(again, dict)
    assert figures(once) == figures(again)

"""The state of a run, told in stories of a few requests: an SLA of 2 s, bins of 10 s."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ipa.studies import Scenario, simulate
from ipa.studies.many.comparison import by_policy
from ipa.studies.pages.verdicts import BACKLOGGED, OVERLOADED, Standing, in_words, sentence, standing_of
from tests.studies.made import SLA_S, made, requests_of


def stood(arrival_s: list[float], latency_s: list[float | str], duration_s: float = 200.0) -> Standing:
    return standing_of(requests_of(arrival_s, latency_s), SLA_S, np.arange(0.0, duration_s + 1.0, 10.0))


def test_a_run_that_answers_in_time_is_stable() -> None:
    assert stood([1.0, 55.0, 199.0], [2.0, 1.0, 0.5]) == Standing(0.0, 0.0, 0)
    assert stood([], []).state == "stable"


def about(backlogged: float, overloaded: float) -> Standing:
    """What a standing without waiting requests equals."""
    approx: Any = pytest.approx
    return Standing(approx(backlogged), approx(overloaded), 0)


def test_one_bin_of_twenty_with_a_late_request_is_a_backlog() -> None:
    """Late from second 13 to 15, in the second bin alone, in which it was also completed."""
    found = stood([11.0], [4.0])
    assert (found.backlogged_share, found.overloaded_share) == (pytest.approx(0.05), 0.0)
    assert found.state == "backlogged"
    assert stood([11.0], [4.0], duration_s=210.0).state == "stable", "less than 5 % of the time"


def test_a_queue_that_drains_is_a_backlog_but_one_that_grows_is_an_overload() -> None:
    """Of four that arrive in the first bin one is completed in it and one in each of the next three."""
    found = stood([1.0, 2.0, 3.0, 4.0], [4.0, 10.0, 20.0, 30.0])
    assert found == about(0.2, 0.05)
    assert found.state == "overloaded"
    assert stood([1.0], [30.0]).overloaded_share == pytest.approx(0.05), "it arrived and was not completed"


def test_a_few_late_requests_among_many_are_no_overload() -> None:
    """Of 40 that arrive in the first bin, the last are completed in the next; three or four are late."""
    arrival_s = [0.25 * k for k in range(40)]
    in_time = [2.0] * 36
    assert stood(arrival_s, [8.0, 8.0, 8.0, 2.0, *in_time]).overloaded_share == 0.0
    assert stood(arrival_s, [8.0, 8.0, 8.0, 8.0, *in_time]).overloaded_share == pytest.approx(0.05)


@pytest.mark.parametrize(("cores", "state"), [(60, "backlogged"), (12, "overloaded")])
def test_long_answers_that_are_late_by_their_own_length_are_no_overload(cores: int, state: str) -> None:
    """`chat` at 5 requests per second: a few in a thousand exceed its SLA of a minute; a small GPU is too little."""
    run = simulate(Scenario(pipeline="chat", trace="constant:5:1200", limit_cores=cores))
    edges_s = np.arange(0.0, 1201.0, 10.0)
    assert standing_of(run.tables["requests"], float(run.summary["sla_s"]), edges_s).state == state
    assert (run.summary["sla_violation_rate"] < 0.005) == (state == "backlogged")


def test_requests_that_are_dropped_late_count_and_those_dropped_at_once_do_not() -> None:
    requests = requests_of([1.0, 2.0], ["dropped", "dropped"])
    requests["end_s"] = [9.0, 2.0]
    found = standing_of(requests, SLA_S, np.arange(0.0, 201.0, 10.0))
    assert found == about(0.05, 0.05)
    requests["end_s"] = [1.0, 2.0]
    assert standing_of(requests, SLA_S, np.arange(0.0, 201.0, 10.0)) == Standing(0.0, 0.0, 0)


def test_what_waits_at_the_end_beyond_the_sla_makes_a_backlog() -> None:
    """The last arrived one second before the end: it is not late yet."""
    found = stood([197.0, 199.0], ["unfinished", "unfinished"], duration_s=1000.0)
    assert found.late_at_end == 2
    at_end = stood([197.0, 199.0], ["unfinished", "unfinished"])
    assert (at_end.late_at_end, at_end.state) == (1, "overloaded")
    assert Standing(0.0, 0.0, 1).state == "backlogged"


def test_the_shares_at_the_limits_belong_to_the_worse_state() -> None:
    assert Standing(BACKLOGGED, 0.0, 0).state == "backlogged"
    assert Standing(BACKLOGGED, OVERLOADED, 0).state == "overloaded"


def test_what_is_said_of_a_state() -> None:
    assert in_words(Standing(0.0, 0.0, 0)) == "No request was in the system for longer than the SLA."
    assert in_words(Standing(0.1, 0.0, 1234)).endswith("during 10.0 % of the time; 1,234 of them at the end.")
    assert in_words(Standing(0.1, 0.08, 0)).startswith("During 8.0 % of the time more requests arrived than")


def test_the_worst_seed_speaks_for_a_policy() -> None:
    late = requests_of([1.0, 5.0], [9.5, 9.5])
    group = by_policy([made(seed=1, requests=late), made(seed=2, requests=requests_of([1.0], [0.5]))])[0]
    said = "".join(part if isinstance(part, str) else part.text for part in sentence(group))
    assert "ipa is overloaded with 1 of 2 seeds." in said
    assert "33.3 % of the requests were answered within the SLA." in said
    assert "of the time with seed 1 more requests arrived" in said

"""The slowest requests: which they are, and that their bars end where they ended."""

from __future__ import annotations

import pandas as pd
import pytest

from ipa.studies.many.comparison import by_policy
from ipa.studies.pages.passages import Passed
from ipa.studies.pages.plots import Plot
from tests.studies.made import drawn, made, requests_of

MIXED = requests_of([0.0, 1.0, 2.0, 3.0, 4.0], [0.5, 2.5, "dropped", 1.5, "unfinished"])


def ends(plot: Plot) -> dict[int, float]:
    """Where the bars of each row end."""
    found: dict[int, float] = {}
    for trace in plot.traces:
        for row, base, lasting in zip(trace["y"], trace["base"], trace["x"], strict=True):
            found[row] = max(found.get(row, 0.0), base + lasting)
    return found


def test_the_slowest_answers_come_first_and_then_those_given_up() -> None:
    one = Passed(by_policy([made(requests=MIXED)])[0])
    assert one.slowest(2, 2)["request"].tolist() == [1, 3, 2, 4]
    assert one.slowest(2, 1)["request"].tolist() == [1, 3, 2]


def test_each_bar_ends_where_its_request_ended() -> None:
    plot = drawn(made(requests=MIXED))["slowest"]
    assert ends(plot) == pytest.approx({0: 2.5, 1: 1.5, 2: 0.5, 3: 2.0, 4: 2.0})
    assert plot.layout["yaxis"]["ticktext"] == ["#1", "#3", "#0", "#2", "#4"]


def test_the_pointer_tells_the_drop_and_the_rollout_beside_it() -> None:
    run = made(requests=MIXED)
    rollout = {"stage": "detect", "variant": "<big>", "cores": 1, "created_s": 1.0, "ready_s": 2.5}
    run.tables["replicas"] = pd.concat([run.tables["replicas"], pd.DataFrame([rollout])])
    plot = drawn(run)["slowest"]
    told = {text for trace in plot.traces for text in trace["customdata"]}
    assert (
        "<b>request 2</b>, arrived at 2.00 s<br>dropped at detect after 2.000 s<br>meanwhile 1 &lt;big&gt; starting"
    ) in told
    assert "<b>request 3</b>, arrived at 3.00 s" in told
    assert [note["text"] for note in plot.layout["annotations"][1:]] == ["rollout", "dropped, rollout", "unfinished"]


def test_the_mean_of_each_policy_is_told_and_that_nothing_completed() -> None:
    plot = drawn(made(requests=MIXED), made("b", requests=requests_of([1.0], ["dropped"])))["mean-latency"]
    assert [note["text"] for note in plot.layout["annotations"]] == ["1.500 s", "nothing completed"]
    assert {trace["name"]: trace["x"] for trace in plot.traces} == {
        "detect: queue": [0.75, 0.0],
        "detect: service": [0.75, 0.0],
    }


@pytest.mark.parametrize("name", ["answer", "hop", "queue", "request"])
def test_a_stage_may_be_called_by_any_word_of_ours(name: str) -> None:
    run = made(requests=MIXED)
    run.tables["stages"] = run.tables["stages"].assign(stage=name)
    names = {f"{name}: queue", f"{name}: service"}
    assert {trace["name"] for trace in drawn(run)["mean-latency"].traces} == names
    assert {trace["name"] for trace in drawn(run)["slowest"].traces} == names


def test_many_policies_show_fewer_requests_each() -> None:
    requests = requests_of([float(at) for at in range(30)], [2.5] * 20 + ["dropped"] * 10)
    counts = []
    for policies in (1, 5):
        plot = drawn(*(made(f"p{place}", requests=requests) for place in range(policies)))["slowest"]
        counts.append(len(plot.layout["yaxis"]["ticktext"]))
    assert counts == [28, 6]

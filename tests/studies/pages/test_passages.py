"""Where each second of a request went: in hand-made passages, and in simulated ones to the last of its latency."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ipa.studies import Run, Scenario, simulate
from ipa.studies.pages.passages import BACK, KINDS, MOMENTS, beside, critical, mean_spent_s, passages, spent_s
from ipa.studies.scenario import PolicyChoice


@pytest.fixture(scope="module")
def run() -> Run:
    """Four minutes around the rise of the bursty load, with drops, rollouts and hops."""
    return simulate(
        Scenario(
            pipeline="video", window=((360.0, 600.0),), hop_s=0.05, policy=PolicyChoice(name="ipa", predictor="mean")
        )
    )


def requests_of(*rows: tuple[float, float, str]) -> pd.DataFrame:
    """Requests: (arrival, end, outcome)."""
    frame = pd.DataFrame(rows, columns=["arrival_s", "end_s", "outcome"])
    return frame.assign(request=np.arange(len(frame)))


def stages_of(*rows: tuple[int, str, float, float, float, int, int]) -> pd.DataFrame:
    """Stages: (request, stage, enqueued, started, finished, batch, its size)."""
    columns = ["request", "stage", "enqueue_s", "start_s", "finish_s", "batch", "batch_size"]
    return pd.DataFrame(rows, columns=columns).astype({"stage": "category"})


def by_kind(requests: pd.DataFrame, stages: pd.DataFrame) -> list[list[object]]:
    return spent_s(passages(requests, stages)).values.tolist()


def test_waiting_is_for_the_batch_until_its_last_request_came_and_then_for_a_replica() -> None:
    """They arrive at 1 and 3 and start at 4 as one batch, which ends at 6; they reach the next stage at 6.5."""
    requests = requests_of((1.0, 8.0, "completed"), (3.0, 8.5, "completed"))
    stages = stages_of(
        (0, "a", 1.0, 4.0, 6.0, 0, 2),
        (0, "b", 6.5, 6.5, 8.0, 0, 1),
        (1, "a", 3.0, 4.0, 6.0, 0, 2),
        (1, "b", 6.5, 8.0, 8.5, 1, 1),
    )
    assert by_kind(requests, stages) == [
        [0, "a", 0.0, 2.0, 1.0, 2.0],
        [0, "b", 0.5, 0.0, 0.0, 1.5],
        [1, "a", 0.0, 0.0, 1.0, 2.0],
        [1, "b", 0.5, 0.0, 1.5, 0.5],
    ]


def test_a_dropped_request_waited_to_its_end_and_an_unfinished_one_is_left_out() -> None:
    requests = requests_of((0.0, 5.0, "dropped"), (1.0, np.nan, "unfinished"))
    stages = stages_of((0, "a", 0.5, np.nan, np.nan, -1, -1), (1, "a", 1.0, np.nan, np.nan, -1, -1))
    assert by_kind(requests, stages) == [[0, "a", 0.5, 0.0, 4.5, 0.0]]


def test_of_a_batch_that_is_not_known_whole_all_waiting_is_queue() -> None:
    stages = stages_of((0, "a", 1.0, 4.0, 6.0, 0, 3))
    assert by_kind(requests_of((1.0, 6.0, "completed")), stages) == [[0, "a", 0.0, 0.0, 3.0, 2.0]]


def test_the_way_back_has_a_row_of_its_own() -> None:
    stages = stages_of((0, "a", 1.0, 1.0, 6.0, 0, 1))
    assert by_kind(requests_of((1.0, 6.25, "completed")), stages)[1] == [0, BACK, 0.25, 0.0, 0.0, 0.0]


def test_the_passages_of_every_request_follow_each_other_from_its_arrival_to_its_end(run: Run) -> None:
    """So the kinds of time add up to the latency exactly, whatever rounding adds to a sum of differences."""
    requests = run.tables["requests"].set_index("request")
    found = passages(run.tables["requests"], run.tables["stages"])
    moments = found[list(MOMENTS)].to_numpy()
    assert (np.diff(moments, axis=1) >= 0.0).all()
    same = found["request"].to_numpy()[1:] == found["request"].to_numpy()[:-1]
    assert (moments[1:, 0][same] == moments[:-1, -1][same]).all()
    each = found.groupby("request")
    ended = requests[np.isfinite(requests["end_s"])]
    assert set(run.summary) >= {"dropped"}
    assert run.summary["dropped"] > 0
    assert len(each) == len(ended)
    assert (each["left_s"].first() == ended["arrival_s"]).all()
    assert (each["finish_s"].last() == ended["end_s"]).all()


def test_every_kind_of_time_is_met(run: Run) -> None:
    totals = spent_s(passages(run.tables["requests"], run.tables["stages"]))[list(KINDS)].sum()
    assert (totals > 1.0).all(), totals


def test_the_means_add_up_to_the_mean_latency(run: Run) -> None:
    requests = run.tables["requests"]
    means = mean_spent_s(requests, passages(requests, run.tables["stages"]))
    assert sum(means.values()) == pytest.approx(run.summary["latency_mean_s"], rel=1e-12)
    assert means["image-classification", "hop"] == pytest.approx(0.05)
    assert mean_spent_s(requests.assign(outcome="dropped"), passages(requests, run.tables["stages"])) == {}


def test_of_a_graph_the_way_is_shown_that_was_critical() -> None:
    """Request 0 ends with c, to which it comes from the slower of a and b; 1 is dropped at b, and its c is later."""
    requests = requests_of((0.0, 9.0, "completed"), (1.0, 5.0, "dropped"))
    items = stages_of(
        (0, "a", 0.0, 0.0, 2.0, 0, 1),
        (0, "b", 0.0, 1.0, 6.0, 0, 1),
        (0, "c", 6.5, 7.0, 9.0, 1, 1),
        (1, "a", 1.0, 2.0, 3.0, 1, 1),
        (1, "b", 1.0, np.nan, np.nan, -1, -1),
        (1, "c", 3.5, 3.5, 7.0, 0, 1),
    ).assign(dropped_s=[np.nan, np.nan, np.nan, np.nan, 5.0, np.nan])
    way = critical(requests, items)
    assert way[["request", "stage"]].to_numpy().tolist() == [[0, "b"], [0, "c"], [1, "b"]]
    assert spent_s(passages(requests, way, items)).to_numpy().tolist() == [
        [0, "b", 0.0, 0.0, 1.0, 5.0],
        [0, "c", 0.5, 0.0, 0.5, 2.0],
        [1, "b", 0.0, 0.0, 4.0, 0.0],
    ]


def test_critical_ways_begin_with_the_arrival_and_end_with_the_request() -> None:
    run = simulate(Scenario(pipeline="traffic", trace="constant:40:30", policy=PolicyChoice(name="rate"), hop_s=0.01))
    requests, items = run.tables["requests"], run.tables["items"]
    found = passages(requests, critical(requests, items), items)
    moments = found[list(MOMENTS)].to_numpy()
    assert (np.diff(moments, axis=1) >= 0.0).all()
    each, ended = found.groupby("request"), requests.set_index("request").query("end_s == end_s")
    assert (each["left_s"].first() == ended["arrival_s"]).all()
    assert (each["finish_s"].last() == ended["end_s"]).all()
    later = found["request"].duplicated()
    assert found["enqueue_s"][~later].to_numpy() == pytest.approx(ended["arrival_s"].to_numpy())
    assert (found["enqueue_s"] - found["left_s"])[later].to_numpy() == pytest.approx(0.01)


def test_beside_a_request_stand_the_replicas_that_started_or_left_meanwhile() -> None:
    columns = ["stage", "variant", "created_s", "ready_s", "removed_s", "gone_s"]
    replicas = pd.DataFrame(
        [
            ("a", "small", 0.0, 0.0, 12.0, 15.0),
            ("a", "large", 8.0, 12.0, np.nan, np.nan),
            ("a", "large", 9.0, np.nan, np.nan, np.nan),
            ("b", "other", 8.0, 12.0, np.nan, np.nan),
        ],
        columns=columns,
    )
    assert beside(replicas, "a", 1.0, 8.0) == ""
    assert beside(replicas, "a", 10.0, 11.0) == "2 large starting"
    assert beside(replicas, "a", 11.0, 13.0) == "2 large starting, 1 small leaving"
    assert beside(replicas, "a", 16.0, 17.0) == "1 large starting"

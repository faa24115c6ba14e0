"""Times of tokens in a summary: from coming to the stage to the first token, and for each further one."""

from __future__ import annotations

import pytest

from ipa.studies import Comparison, Run, Scenario, simulate
from ipa.studies.many import requirements

CHAT = Scenario(pipeline="chat", trace="constant:1:60")
KEYS = ["ttft_p50_s", "ttft_p99_s", "tpot_p50_s", "tpot_p99_s"]


@pytest.fixture(scope="module")
def run() -> Run:
    return simulate(CHAT)


def test_they_are_those_of_the_stage_that_answers(run: Run) -> None:
    """Prompts of about 857 tokens take a step, and so does each further token: 15.4 ms and more."""
    assert [key for key in run.summary if key in KEYS] == KEYS
    assert 0.0154 < run.summary["ttft_p50_s"] < 0.5
    assert 0.0154 < run.summary["tpot_p50_s"] < 0.03
    assert run.summary["ttft_p50_s"] <= run.summary["ttft_p99_s"] <= run.summary["latency_p99_s"]
    assert run.summary["tpot_p50_s"] <= run.summary["tpot_p99_s"]


@pytest.mark.parametrize("engine", ["simpy", "compiled"])
@pytest.mark.parametrize("records", ["all", "sample", "none"])
def test_they_are_the_same_whatever_is_recorded(run: Run, engine: str, records: str) -> None:
    other = simulate(CHAT.with_values({"engine": engine, "records": records}))
    assert [other.summary[key] for key in KEYS] == [run.summary[key] for key in KEYS]


def test_gpus_are_counted_over_time(run: Run) -> None:
    """Replicas of the 4090 cost 11 cores, 10 of which are a GPU's; one core is the retriever's."""
    cores = run.summary["cost_mean_cores"]
    assert run.summary["gpus_mean"] == pytest.approx((cores - 1) / 11)


def test_a_graph_has_them_too() -> None:
    graph = simulate(Scenario(pipeline="helpdesk", trace="constant:2:60"))
    assert 0.013 < graph.summary["ttft_p50_s"] < 0.5


def test_without_language_models_there_are_none() -> None:
    assert not set(KEYS) & set(simulate(Scenario(pipeline="video", trace="constant:1:10")).summary)


def test_a_table_and_a_requirement_take_them(run: Run) -> None:
    comparison = Comparison((run,))
    assert comparison.table["ttft_p99_s"][0] == run.summary["ttft_p99_s"]
    texts = ["ttft_p99_s<=0.001", "tpot_p99_s<=100 ms"]
    broken = list(requirements.broken([requirements.parse(text) for text in texts], [("ipa", [run.summary])]))
    assert len(broken) == 1
    assert "ttft_p99_s<=0.001" in broken[0]

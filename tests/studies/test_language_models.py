"""Runs of a pipeline with a language model: whole, and with records of a sample or of none."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ipa.studies import Run, Scenario, ScenarioError, simulate
from ipa.studies.runs import soonest_engine

CHAT = """\
schema_version: 1
kind: pipeline
name: chat
description: what was looked up is answered
provenance:
  made: {kind: assumed, why: for this test}
stages:
  - name: look-up
    task: finds passages
    accuracy_metric: recall
    variants:
      - name: small
        accuracy: {value: 0.9, from: made}
        figures:
          - {cores: 1, batch: 1, mean_s: 0.05, p99_s: 0.08, throughput_rps: 20, from: made}
          - {cores: 1, batch: 4, mean_s: 0.10, p99_s: 0.15, throughput_rps: 40, from: made}
  - name: answer
    task: answers with them
    kind: llm
    accuracy_metric: accuracy
    sla: {pinned_s: 30, why: for this test}
    tokens: {input: {mean: 300, p99: 900}, output: {mean: 60, p99: 200}, from: made}
    variants:
      - name: quick
        accuracy: {value: 0.6, from: made}
        step: {base_s: 0.02, per_token_s: 1.0e-4, per_cached_token_s: 1.0e-7, from: made}
        gpus: 1
        sequences: 8
        kv_blocks: 300
        start_up_s: 20
      - name: good
        accuracy: {value: 0.7, from: made}
        step: {base_s: 0.05, per_token_s: 2.0e-4, per_cached_token_s: 2.0e-7, from: made}
        gpus: 1
        sequences: 8
        kv_blocks: 200
        start_up_s: 20
"""


ALTERNATING = """\
from dataclasses import replace
from ipa.policies import Decision

class Alternating:
    def __init__(self, pipeline):
        pass

    def decide(self, observation, memory):
        variant = ("quick", "good")[observation.step // 5 % 2]
        stages = observation.configuration
        return Decision({name: replace(stage, variant=variant, replicas=2) for name, stage in stages.items()}, memory)
"""


@pytest.fixture
def chat(tmp_path: Path) -> str:
    (tmp_path / "chat.yaml").write_text(CHAT, encoding="utf-8")
    return str(tmp_path / "chat.yaml")


def went(pipeline: str, **keys: Any) -> Run:
    settings = {"policy": "ipa", "trace": "bursty", "window": "0:240", "scale": 0.4, "seed": 3, "sla_s": 20.0}
    return simulate(Scenario(pipeline=pipeline).with_values(settings | keys))


@pytest.mark.skipif(not find_spec("numba"), reason="needs numba")
@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"removal": "lose"},
        {"journal": "full", "policy": "hpa"},
        {"limit_cores": 200},
        {"limit_gpus": 3, "limit_cores": 160, "scale": 0.8},
        {"limit_gpus": 3, "when_full": "wait", "removal": "lose", "scale": 0.8},
    ],
)
def test_both_engines_give_the_same_tables(chat: str, keys: dict[str, Any]) -> None:
    one, other = (went(chat, engine=engine, **keys) for engine in ("simpy", "compiled"))
    assert one.tables.keys() == other.tables.keys()
    for name, table in one.tables.items():
        pd.testing.assert_frame_equal(table, other.tables[name])
    assert [entry.observation for entry in one.entries] == [entry.observation for entry in other.entries]


@pytest.mark.parametrize("limit", [2, 3])
@pytest.mark.parametrize("engine", ["simpy", "compiled"])
@pytest.mark.parametrize("when_full", ["replace", "wait"])
def test_a_limit_of_gpus_is_one_of_the_cores_that_they_cost(chat: str, engine: str, when_full: str, limit: int) -> None:
    """Every replica of the one stage takes a GPU, and costs 39 cores. Rollouts lack room, and both are kept to."""
    head, stages = CHAT.split("stages:\n")
    Path(chat).write_text(f"{head}stages:\n  - name: answer{stages.split('  - name: answer')[1]}", encoding="utf-8")
    (Path(chat).parent / "alternating.py").write_text(ALTERNATING, encoding="utf-8")
    policy = str(Path(chat).parent / "alternating.py:Alternating")
    keys = {"engine": engine, "when_full": when_full, "policy": policy, "stop_s": 6.0, "max_surge": 2}
    by_gpus, by_cores = went(chat, limit_gpus=limit, **keys), went(chat, limit_cores=39 * limit, **keys)
    for name in ("requests", "replicas"):
        pd.testing.assert_frame_equal(by_gpus.tables[name], by_cores.tables[name])
    assert by_gpus.summary["room_lacked"] == by_cores.summary["room_lacked"] > 0


def test_a_full_journal_sees_how_long_requests_took_and_how_full_replicas_are(chat: str) -> None:
    run = went(chat, engine="simpy", journal="full")
    items = run.tables["stages"].query("stage == 'answer' and finish_s.notna()")
    for before, entry in zip(run.entries, run.entries[1:], strict=False):
        seen = entry.observation.stages["answer"]
        since_s, now_s = before.observation.time_s, entry.observation.time_s
        left = items[(items["finish_s"] > since_s) & (items["finish_s"] <= now_s)]
        assert seen.completions == len(left)
        assert seen.latency is not None
        assert seen.busy_fraction is not None
        if len(left):
            assert seen.latency.p50_s == pytest.approx((left["finish_s"] - left["enqueue_s"]).median())
        assert 0.0 <= seen.busy_fraction <= 1.0
    assert max(entry.observation.stages["answer"].busy_fraction or 0.0 for entry in run.entries) > 0.3


@pytest.mark.parametrize("records", ["sample", "none"])
def test_records_of_a_sample_or_of_none_give_the_figures_of_all(chat: str, records: str) -> None:
    whole, part = went(chat, engine="simpy"), went(chat, engine="simpy", records=records)
    varies = {"wall_s", "engine", "records"}
    assert {key: part.summary[key] for key in part.summary.keys() - varies} == {
        key: whole.summary[key] for key in part.summary.keys() - varies
    }


NO_ROOM = "400 input and 60 output tokens have no room in its 20 blocks of 16 tokens"


def too_long(pipeline: str) -> str:
    """A quarter of the prompts have more tokens than the blocks hold."""
    law = "tokens: {input: {mean: 300, p99: 900}, output: {mean: 60, p99: 200}, from: made}"
    table = "tokens: {table: [[20, 60], [20, 60], [20, 60], [400, 60]], from: made}"
    return (
        pipeline.replace(law, table)
        .replace("kv_blocks: 300", "kv_blocks: 20")
        .replace("kv_blocks: 200", "kv_blocks: 20")
    )


@pytest.mark.parametrize("records", ["all", "sample"])
def test_why_a_request_failed_is_in_the_table_of_requests(chat: str, tmp_path: Path, records: str) -> None:
    """Prompts without room, and requests of replicas that are removed."""
    path = tmp_path / "long.yaml"
    path.write_text(too_long(CHAT), encoding="utf-8")
    for pipeline, reason in ((str(path), NO_ROOM), (chat, "its replica was removed")):
        requests = went(pipeline, removal="lose", records=records, trace="square:7", window="0:400").tables["requests"]
        failed = requests["outcome"] == "failed"
        assert failed.any()
        assert set(requests["reason"][failed]) == {reason}
        assert requests["reason"][~failed].isna().all()


def test_in_a_graph_a_request_failed_for_the_reason_of_its_item(tmp_path: Path) -> None:
    path = tmp_path / "chat.yaml"
    graph = CHAT.replace("provenance:", "accuracy: {combine: product}\nprovenance:")
    graph = graph.replace("    kind: llm\n", "    kind: llm\n    after: [{stage: look-up, items: 2, from: made}]\n")
    path.write_text(too_long(graph), encoding="utf-8")
    requests = went(str(path)).tables["requests"]
    reasons = requests["reason"][requests["outcome"] == "failed"]
    assert set(reasons) == {NO_ROOM}
    assert len(reasons) > 20


def test_tokens_are_those_of_the_columns_of_the_load(chat: str, tmp_path: Path) -> None:
    path = Path(chat)
    law = "tokens: {input: {mean: 300, p99: 900}, output: {mean: 60, p99: 200}, "
    path.write_text(CHAT.replace(law, law + "columns: [prompt, answer], "), encoding="utf-8")
    rows = [f"{0.5 * n + 0.013 * (n * n % 7):.3f},{300 - n},{n + 1}" for n in range(40)]
    (tmp_path / "log.csv").write_text("\n".join(["arrival_s,prompt,answer", *rows]) + "\n", encoding="utf-8")
    log = went(
        chat, engine="simpy", trace=str(tmp_path / "log.csv"), window="5:15", scale=1.0, read={"count_column": "none"}
    ).records.tokens[1]
    assert log is not None
    assert log.input.tolist() == [300 - n for n in range(10, 30)]
    assert log.output.tolist() == [n + 1 for n in range(10, 30)]
    with pytest.raises(
        ScenarioError, match="trace bursty: tokens are those of its columns prompt, answer, which takes"
    ):
        went(chat)


def test_steps_count_in_what_a_short_run_is(chat: str) -> None:
    """5,000 requests generate 60 tokens each: more steps than SimPy makes while numba is loaded."""
    short, long = (Scenario(pipeline=chat).with_values({"trace": f"constant:{rate}:100"}) for rate in (3, 50))
    assert soonest_engine(short) == "simpy"
    assert soonest_engine(long) == "auto"

"""Stages of language models: their utilisation, what a request should take, and the times of tokens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ipa.studies import Scenario
from ipa.studies.validation.figures import Windows, measure, utilisation
from ipa.studies.validation.run import conduct
from tests.studies.validation.worlds import changing_world, world

pytestmark = pytest.mark.usefixtures("elsewhere")

CHAT = Scenario(pipeline="chat").with_values(
    {"trace": "fluctuating", "scale": 0.3, "service_times": "mean", "policy": {"name": "ipa", "load_margin": 1.0}}
)


def hand_made() -> dict[str, pd.DataFrame]:
    """10 s of one replica of a language model that may have 4 requests at once, and 8 from 5 s on.

    It has one from 0 to 4 s, another from 2 to 6 s, with 5 tokens each, the first after 1 s.
    """
    return {
        "requests": pd.DataFrame(
            {
                "request": range(2),
                "arrival_s": [0.0, 2.0],
                "outcome": ["completed"] * 2,
                "end_s": [4.0, 6.0],
                "latency_s": [4.0, 4.0],
                "accuracy": [1.0, 1.0],
            }
        ),
        "stages": pd.DataFrame(
            {
                "request": range(2),
                "stage": pd.Categorical(["s"] * 2),
                "enqueue_s": [0.0, 1.5],
                "start_s": [0.0, 2.0],
                "finish_s": [4.0, 6.0],
                "replica": [0, 0],
                "batch": [0, 1],
                "batch_size": [1, 1],
                "input_tokens": [3, 3],
                "output_tokens": [5, 5],
                "first_token_s": [1.0, 3.0],
            }
        ),
        "replicas": pd.DataFrame(
            {
                "stage": pd.Categorical(["s"]),
                "replica": [0],
                "cores": [1],
                "created_s": [0.0],
                "ready_s": [0.0],
                "removed_s": [np.nan],
                "gone_s": [np.nan],
            }
        ),
        "decisions": pd.DataFrame(
            {
                "stage": ["s"] * 3,
                "time_s": [0.0, 4.0, 5.0],
                "batch": [4, 1, 8],
                "accepted": [True, False, True],
            }
        ),
    }


def test_a_replica_is_as_busy_as_it_has_requests_of_those_that_it_may_have() -> None:
    """Of 5 s x 4 places, 4 + 3 s were taken; of 5 s x 8, 1 s. The refused decision counts for nothing."""
    np.testing.assert_allclose(utilisation(hand_made(), Windows.all_of(10.0, 5.0))["s"], [7 / 20, 1 / 40])


def test_times_of_tokens_by_hand() -> None:
    figures = measure([hand_made()], Windows.all_of(10.0, 10.0), sla_s=10.0)
    assert figures["s.ttft_mean_s"] == pytest.approx((1.0 + 1.5) / 2)
    assert figures["s.tpot_mean_s"] == pytest.approx(3.0 / 4)


def test_what_a_request_takes_is_that_of_a_replica_with_the_same_requests(tmp_path: Path) -> None:
    """In a world just as calibrated, each takes the simulated time, with up to dozens at once, and all agrees."""
    known = conduct(*world(CHAT), tmp_path / "out", repeats=1)
    of_requests = known.calibration.overheads.generation_by_stage["answer"]
    assert (of_requests.median_s, of_requests.p99_s) == (0.0, 0.0)
    assert of_requests.count > 400
    assert known.calibration.overheads.dispatch_overhead_s.median_s == pytest.approx(0.004)  # of the other stage alone
    assert known.judged.chosen.all()
    assert known.passed
    rows = {(row.metric.stage, row.metric.title): row for row in known.rows}
    assert rows["answer", "first token, p99"].error == rows["answer", "further tokens, mean"].error == 0.0
    assert ("answer", "batch size, mean") not in rows


def test_steps_that_take_longer_are_off(tmp_path: Path) -> None:
    slower = conduct(*changing_world(CHAT, service_factor=1.2), tmp_path / "out", repeats=1)
    off = [row.metric.key for row in slower.rows if row.passed is False]
    assert off[0] == "latency_mean_s"
    assert slower.repeats[0].overheads.generation_by_stage["answer"].median_s > 1.0


def test_where_all_stages_are_language_models_no_batch_is_missed(tmp_path: Path) -> None:
    """So there is no overhead of batches to be measured."""
    (tmp_path / "mine.yaml").write_text(PIPELINE)
    scenario = Scenario(pipeline=str(tmp_path / "mine.yaml")).with_values({"trace": "fluctuating", "policy": "ipa"})
    validation = conduct(*world(scenario), tmp_path / "out", repeats=1)
    assert validation.calibration.overheads.dispatch_overhead_s.count == 0
    assert not any("dispatch_overhead_s" in flag for flag in validation.flags)


PIPELINE = """\
schema_version: 1
kind: pipeline
name: small
description: A small language model.
provenance: {guess: {kind: assumed, why: an example}}
stages:
  - name: answer
    task: answers
    kind: llm
    sla: {pinned_s: 4, why: an example}
    tokens: {input: {mean: 30, p99: 60}, output: {mean: 20, p99: 40}, from: guess}
    variants:
      - name: tiny
        accuracy: {value: 0.5, from: guess}
        start_up_s: 0.5
        step: {base_s: 0.01, per_token_s: 1.0e-5, from: guess}
        sequences: 8
        kv_blocks: 100
"""

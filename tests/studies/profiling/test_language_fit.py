"""The step of a language model, fitted to measured requests: known ones, two runs of a real engine, wrong tables."""

from __future__ import annotations

import os
from dataclasses import astuple, replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from ipa import profiles
from ipa.profiles import LanguageModel, ProfileError, StepTime
from ipa.studies import ScenarioError
from ipa.studies.runs.profiling import language_fit, measured_requests, step_regression
from tests import command
from tests.sim.closed_loop import served

STEP = StepTime(0.012, 6e-5, 2e-7)
MODEL = LanguageModel(STEP, sequences=32, kv_blocks=4000)
UNFITTED = LanguageModel(StepTime(0.0, 0.0, 0.0), sequences=32, kv_blocks=4000)

QUICKEST = StepTime(0.004, 1e-5, 5e-8)

RUNS = os.environ.get("IPA_VLLM_RUNS", "")
"""A folder with two measured runs of vLLM."""


def served_requests(
    path: Path,
    rate_rps: float,
    requests: int = 200,
    equal: bool = False,
    step: StepTime = STEP,
    model: LanguageModel = MODEL,
    seed: int = 1,
) -> Path:
    """Requests as a replica of such a `model` serves them with such a `step`, in whole microseconds; `equal`: all have
    as many tokens.
    """
    draws = np.random.default_rng(seed)
    arrivals_s = np.cumsum(draws.exponential(1 / rate_rps, requests)).tolist()
    prompts, outputs = draws.integers(50, 900, requests), draws.integers(20, 400, requests)
    tokens = [(400, 200)] * requests if equal else list(zip(prompts.tolist(), outputs.tolist(), strict=True))
    lines = ["queued_s,first_token_s,last_token_s,input_tokens,output_tokens"]
    for arrival_s, (first_s, last_s), (prompt, generated) in zip(
        arrivals_s, served(replace(model, step=step), arrivals_s, tokens), tokens, strict=True
    ):
        lines.append(f"{arrival_s:.6f},{first_s:.6f},{last_s:.6f},{prompt},{generated}")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_two_loads_give_the_step_back(tmp_path: Path) -> None:
    """A light load and one that queues; the step is that with which they were made."""
    tables = [measured_requests.read(served_requests(tmp_path / f"{rate}.csv", rate, 100)) for rate in (0.5, 8.0)]
    fit = language_fit.fit(UNFITTED, tables, 0.5)
    step = fit.model.step
    assert (step.base_s, step.per_token_s, step.per_cached_token_s) == pytest.approx((0.012, 6e-5, 2e-7), rel=0.03)
    assert fit.is_identified
    assert (fit.fitted, fit.judged) == (100, 100)
    for errors in fit.errors.values():
        assert all(abs(of_mean) < 0.01 for of_mean, _, _ in errors.values())


@pytest.mark.long
def test_one_light_load_does_not_tell_the_figures_apart(tmp_path: Path) -> None:
    """With one request at once, all alike, any of the three may take the time of the others."""
    light = measured_requests.read(served_requests(tmp_path / "light.csv", 0.01, 30, equal=True))
    as_json = language_fit.as_dict(language_fit.fit(UNFITTED, [light], 0.5))
    assert as_json["identified"] is False
    assert as_json["not_identified"] == ["base_s", "per_token_s", "per_cached_token_s"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("step", "seed"),
    [
        pytest.param(step, seed, marks=() if (step, seed) == (QUICKEST, 1) else pytest.mark.long)
        for step, seed in product(
            (STEP, QUICKEST, StepTime(0.013, 42.4e-6, 6.8e-8), StepTime(0.03, 2e-4, 1e-6)), (1, 2, 3)
        )
    ],
)
def test_one_load_that_queues_gives_the_step_back(tmp_path: Path, step: StepTime, seed: int) -> None:
    loaded = measured_requests.read(served_requests(tmp_path / "loaded.csv", 4.0, step=step, seed=seed))
    fit = language_fit.fit(UNFITTED, [loaded], 0.5)
    assert astuple(fit.model.step) == pytest.approx(astuple(step), rel=0.03)
    assert fit.loss < 0.002
    assert fit.is_identified


@pytest.mark.long
def test_cached_tokens_that_take_next_to_no_time_are_not_identified(tmp_path: Path) -> None:
    """One request at once has some 700 cached tokens: 0.05 ms of a step of 13."""
    step = StepTime(0.013, 42.4e-6, 6.8e-8)
    file = served_requests(tmp_path / "light.csv", 0.1, 60, step=step)
    options = ["--sequences", "32", "--kv-blocks", "4000", "--to", tmp_path / "mine.yaml"]
    printed = command.ipa("profile", "fit", file, *options).stdout
    assert "these requests do not identify per_cached_token_s: " in " ".join(printed.split())
    assert "the loads do not identify per_cached_token_s" in (tmp_path / "mine.yaml").read_text()
    model = profiles.load(tmp_path / "mine.yaml").stages[0].variants[0].language_model
    assert model is not None
    assert astuple(model.step)[:2] == pytest.approx([0.013, 42.4e-6], rel=0.03)


def test_the_regression_alone_is_near_the_step(tmp_path: Path) -> None:
    """Also for prompts of several steps, of requests that are served alone."""
    model = LanguageModel(STEP, sequences=32, kv_blocks=4000, tokens_per_step=256)
    for name, rate_rps in (("light", 0.5), ("loaded", 4.0)):
        table = measured_requests.read(served_requests(tmp_path / f"{name}.csv", rate_rps, model=model))
        figures = step_regression.figures([step_regression.rows(model, table, 200)])
        assert figures.tolist() == pytest.approx(astuple(STEP), rel=0.06)


def test_a_regression_with_a_figure_given_finds_the_others(tmp_path: Path) -> None:
    loaded = measured_requests.read(served_requests(tmp_path / "loaded.csv", 4.0))
    figures = step_regression.figures([step_regression.rows(MODEL, loaded, 200)], {0: STEP.base_s})
    assert figures.tolist() == pytest.approx(astuple(STEP), rel=0.03)


@pytest.mark.long
def test_the_command_says_how_far_it_is_off_and_writes_a_pipeline(tmp_path: Path) -> None:
    file = served_requests(tmp_path / "run.csv", 4.0, 60)
    options = ["--sequences", "32", "--kv-blocks", "4000"]
    fit = command.answer("profile", "fit", file, *options, "--json")
    assert set(fit["errors"]["run.csv"]) == set(measured_requests.TIMES)
    written = command.ipa("profile", "fit", file, *options, "--to", tmp_path / "mine.yaml")
    assert "Fitting a step to 60 requests: some seconds\n" in written.stderr
    assert "for 30 other requests" in written.stdout
    stage = profiles.load(tmp_path / "mine.yaml").stage("answer")
    model = stage.variant("run").language_model
    assert model is not None
    assert model.step.base_s == pytest.approx(fit["step"]["base_s"], rel=1e-4)
    assert (model.sequences, model.kv_blocks) == (32, 4000)
    assert stage.tokens is not None
    assert stage.tokens.input.mean == pytest.approx(measured_requests.read(file).input_tokens.mean(), rel=1e-5)


# ---- two measured runs ----


@pytest.mark.long
@pytest.mark.skipif(not RUNS, reason="IPA_VLLM_RUNS does not name the folder of measured runs")
@pytest.mark.parametrize(
    ("file", "sequences", "kv_blocks", "is_identified"),
    [("rtxpro6000-llama-3.1-8b.csv", 128, 36_578, True), ("rtx4090-llama-3.1-8b.csv", 256, 2_588, False)],
)
def test_half_of_a_measured_run_tells_the_means_of_the_other_half(
    file: str, sequences: int, kv_blocks: int, is_identified: bool
) -> None:
    """Within 5 % each; the second run, whose blocks are always full, does not tell base and cached tokens apart."""
    model = LanguageModel(StepTime(0.0, 0.0, 0.0), sequences, kv_blocks)
    fit = language_fit.fit(model, [measured_requests.read(Path(RUNS) / file)], 0.5)
    assert all(abs(of_mean) < 0.05 for of_mean, _, _ in fit.errors[file].values())
    assert fit.is_identified == is_identified


# ---- mistakes ----


@pytest.mark.parametrize(
    ("row", "answer"),
    [
        ("0,1,2,10,0", "run.csv:2: output_tokens: should be a whole number from 1; given 0"),
        ("0,1,2,1.5,3", "run.csv:2: input_tokens: should be a whole number from 1; given 1.5"),
        ("2,1,3,10,3", "run.csv:2: first_token_s: should be at least queued_s, 2; given 1"),
        ("0,2,1,10,3", "run.csv:2: last_token_s: should be at least first_token_s, 2; given 1"),
        ("0,x,1,10,3", "run.csv:2: first_token_s: should be a number; given 'x'"),
        ("", "run.csv: the table has no rows"),
    ],
)
def test_a_wrong_table_is_told_with_line_and_column(tmp_path: Path, row: str, answer: str) -> None:
    (tmp_path / "run.csv").write_text(f"queued_s,first_token_s,last_token_s,input_tokens,output_tokens\n{row}\n")
    with pytest.raises(ProfileError) as caught:
        measured_requests.read(tmp_path / "run.csv")
    assert str(caught.value).endswith(answer)


def test_too_few_requests_and_too_few_blocks_are_told(tmp_path: Path) -> None:
    few = measured_requests.read(served_requests(tmp_path / "few.csv", 4.0, 12))
    with pytest.raises(ScenarioError, match=r"few.csv: 12 requests, of which 0.5 are fitted: both parts need 10"):
        language_fit.fit(UNFITTED, [few], 0.5)
    enough = measured_requests.read(served_requests(tmp_path / "enough.csv", 4.0, 40))
    with pytest.raises(ScenarioError, match=r"KV blocks of 16 hold 32"):
        language_fit.fit(LanguageModel(STEP, 32, 2), [enough], 0.5)


def test_more_requests_at_once_than_sequences_are_told(tmp_path: Path) -> None:
    """Five each second, of 1.9 s each: ten at once, and nobody waits."""
    path = tmp_path / "ten.csv"
    rows = [f"{0.2 * n:.1f},{0.2 * n + 0.05:.2f},{0.2 * n + 1.95:.2f},100,50" for n in range(40)]
    path.write_text("\n".join([",".join(measured_requests.COLUMNS), *rows]) + "\n")
    table = measured_requests.read(path)
    with pytest.raises(ScenarioError, match=r"ten\.csv: 10 requests are between .* --sequences 9 never has as many"):
        language_fit.fit(LanguageModel(STEP, 9, 4000), [table], 0.5)
    assert measured_requests.sequences_shown([table]) == (10, False)


@pytest.mark.long
def test_without_sequences_those_are_taken_that_the_files_show(tmp_path: Path) -> None:
    engine = replace(MODEL, sequences=8)
    full = served_requests(tmp_path / "full.csv", 20.0, 60, model=engine)
    light = served_requests(tmp_path / "light.csv", 0.5, 30, model=engine)
    as_seen = command.ipa("profile", "fit", full, "--kv-blocks", "4000").stdout
    assert "--sequences 8: the most requests at once in what was measured." in as_seen
    guessed = " ".join(command.ipa("profile", "fit", light, "--kv-blocks", "4000").stdout.split())
    assert "the engine was never full, so this is a guess: give the engine's own number." in guessed
    step = command.answer("profile", "fit", full, "--kv-blocks", "4000", "--json")["step"]
    assert step == command.answer("profile", "fit", full, "--kv-blocks", "4000", "--sequences", "8", "--json")["step"]


def test_requests_that_tell_no_step_are_refused(tmp_path: Path) -> None:
    """All at once, each with one token."""
    path = tmp_path / "burst.csv"
    path.write_text(f"{','.join(measured_requests.COLUMNS)}\n" + 40 * "1,1.5,1.5,100,1\n")
    with pytest.raises(ScenarioError, match=r"burst\.csv: no fitted request takes time for tokens after its first"):
        language_fit.fit(UNFITTED, [measured_requests.read(path)], 0.5)

"""Language models: the profile that a plan takes, tokens, what a replica costs, and files answered by line."""

from __future__ import annotations

import itertools
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipa import profiles
from ipa.policies import Configuration, CoreLimit, Decision, Memory, Observation, StageConfiguration
from ipa.policies.hpa import Hpa
from ipa.policies.optimiser import Problem, Programme, solve
from ipa.profiles import (
    Defaults,
    LanguageModel,
    Limits,
    Pipeline,
    ProfileError,
    Stage,
    StageTokens,
    StepTime,
    TokenLaw,
    Variant,
)
from ipa.studies.scenario import find as find_scenario
from ipa.studies.scenario import pipeline_of
from tests.tiny import observation

GOOD = """\
schema_version: 1
kind: pipeline
name: chat
description: drafts an answer and then checks it
provenance:
  lengths: {kind: measured, source: a log}
  fit: {kind: measured, source: a fit}
stages:
  - name: draft
    task: drafts
    kind: llm
    tokens: {input: {mean: 300, p99: 900}, output: {mean: 100, p99: 400}, from: lengths}
    variants:
      - name: small
        accuracy: {value: 0.6, from: fit}
        step: {base_s: 0.01, per_token_s: 1e-4, per_cached_token_s: 1e-7, from: fit}
        sequences: 64
        kv_blocks: 1000
        gpus: 1
        start_up_s: 60
  - name: check
    task: checks
    kind: llm
    tokens: {input: {after: draft, plus: 20}, output: {mean: 10, p99: 30}, from: lengths}
    variants:
      - name: tiny
        accuracy: {value: 0.9, from: fit}
        step: {base_s: 0.002, per_token_s: 1e-5, from: fit}
        sequences: 8
        kv_blocks: 100
        cores: 2
"""

STEP = StepTime(0.01, 1e-4, 1e-7)
TOKENS = StageTokens(TokenLaw(300.0, 900.0), TokenLaw(100.0, 400.0))


def loaded(tmp_path: Path, text: str = GOOD, files: Mapping[str, str] | None = None) -> profiles.Pipeline:
    for name, content in (files or {}).items():
        (tmp_path / name).write_text(content)
    (tmp_path / "chat.yaml").write_text(text)
    return profiles.load(tmp_path / "chat.yaml")


def refusal(tmp_path: Path, text: str, files: Mapping[str, str] | None = None) -> str:
    with pytest.raises(ProfileError) as caught:
        loaded(tmp_path, text, files)
    return str(caught.value).replace(f"{tmp_path}{os.sep}", "")


def changed(old: str, new: str) -> str:
    assert GOOD.count(old) >= 1
    return GOOD.replace(old, new, 1)


# ---- what a plan takes a variant for ----


def test_the_profile_follows_from_step_and_tokens() -> None:
    """Two at once: 2 (1 + 300 / 100) = 8 tokens, 2 (300 + 100 / 2) = 700 cached ones: 10.87 ms a step."""
    model = LanguageModel(STEP, sequences=64, kv_blocks=1000)
    assert model.step_s(2, TOKENS) == pytest.approx(0.01 + 8e-4 + 7e-5)
    one, two, *_ = model.figures(TOKENS, gpu_cores=38)
    assert (one.batch, two.batch) == (1, 2)
    assert (two.mean_s, two.p99_s) == pytest.approx((100 * 0.01087, 400 * 0.01087))
    assert two.throughput_rps == pytest.approx(2 / 1.087)


def test_requests_at_once_go_up_to_the_sequences_and_to_what_the_blocks_hold() -> None:
    """1,000 blocks of 16 hold 40 requests of 400 tokens."""
    by_blocks = LanguageModel(STEP, sequences=64, kv_blocks=1000)
    assert [figure.batch for figure in by_blocks.figures(TOKENS, 1)] == [1, 2, 4, 8, 16, 32, 40]
    by_sequences = LanguageModel(STEP, sequences=8, kv_blocks=1000)
    assert [figure.batch for figure in by_sequences.figures(TOKENS, 1)] == [1, 2, 4, 8]
    assert [figure.batch for figure in LanguageModel(STEP, 1, 1000).figures(TOKENS, 1)] == [1]


def test_between_planned_numbers_at_once_the_profile_is_exact(tmp_path: Path) -> None:
    """The latency is linear in the requests at once, as between batch sizes."""
    draft = loaded(tmp_path).stage("draft")
    small = draft.variant("small")
    assert small.language_model is not None
    assert draft.tokens is not None
    for at_once in (3, 21, 37):
        assert small.mean_s(at_once) == pytest.approx(100 * small.language_model.step_s(at_once, draft.tokens))
        assert small.throughput_rps(at_once) == pytest.approx(at_once / small.mean_s(at_once))


def test_nobody_waits_for_a_batch_to_fill(tmp_path: Path) -> None:
    """At 1 rps, a batch of 16 would take 15 s to fill; the plan's latency is that of the steps alone."""
    pipeline = loaded(tmp_path)
    programme = Programme.of(pipeline, sla_s=8.0)
    solution = solve(Problem(programme, 10.0))
    draft, check = (solution.configuration[name] for name in ("draft", "check"))
    planned_s = pipeline.stage("draft").variant("small").p99_s(draft.batch)
    planned_s += pipeline.stage("check").variant("tiny").p99_s(check.batch)
    assert solution.rung == "optimal"
    assert draft.batch > 1
    assert solution.latency_s == pytest.approx(planned_s, abs=1e-6)
    assert draft.batch_timeout_s == check.batch_timeout_s == 0.0


@pytest.mark.parametrize("solver", ["gurobi", "highs"])
def test_general_solvers_agree(tmp_path: Path, solver: str) -> None:
    programme = Programme.of(loaded(tmp_path), sla_s=8.0)
    objectives = [solve(Problem(programme, 10.0), solver=name).objective["total"] for name in ("exact", solver)]
    assert objectives[1] == pytest.approx(objectives[0], abs=1e-6)


def test_a_slower_world_has_slower_steps(tmp_path: Path) -> None:
    small = loaded(tmp_path).bent({"draft": {"small": 2.0}}).stage("draft").variant("small")
    assert small.language_model is not None
    assert small.language_model.step == StepTime(0.02, 2e-4, 2e-7)
    assert small.mean_s(1) == pytest.approx(2 * 100 * (0.01 + 4e-4 + 3.5e-5))


def test_a_scaler_fills_replicas_as_far_as_the_sla_allows() -> None:
    """27 requests at once take 50.9 s in the p99, of 59.5 s; two batches after each other would not be in time."""
    assert Hpa(profiles.load("chat")).batch == {"retrieve": 4, "answer": 27}


def test_a_goal_may_limit_the_time_to_first_token(tmp_path: Path) -> None:
    """At `check`, n at once, prompts of 420 tokens in the p99: 2048 are a step, so (1 + 420 / 2048) steps of
    2 ms + 10 us x n (1 + 120 / 10), and 4.2 ms for their own: 6.77 ms for 1, 7.08 ms for 3.
    """
    pipeline = loaded(tmp_path)
    tokens, model = pipeline.stage("check").tokens, pipeline.stage("check").variant("tiny").language_model
    assert tokens is not None
    assert model is not None
    assert model.ttft_s(1, tokens) == pytest.approx((1 + 420 / 2048) * 0.00213 + 0.0042)
    programme = Programme.of(pipeline, sla_s=8.0, goal={"min": "cost", "ttft_at_most_s": 0.0070})
    assert {row.batch for row in programme.table.stages[1].rows} == {1, 2}
    assert solve(Problem(programme, 60.0)).configuration["check"].batch <= 2
    assert {row.batch for row in programme.table.stages[0].rows} == {1, 2, 4, 8, 16, 32, 40}  # only the last answers
    with pytest.raises(ValueError, match=r"goal.ttft_at_most_s=0.005 cannot be reached; a request by itself at check"):
        Programme.of(pipeline, goal={"ttft_at_most_s": 0.005})
    with pytest.raises(ValueError, match=r"goal.ttft_at_most_s: video has no language models; leave it out"):
        Programme.of(profiles.load("video"), goal={"ttft_at_most_s": 0.005})


# ---- tokens ----


def test_a_prompt_may_be_what_another_model_has_put_out(tmp_path: Path) -> None:
    tokens = loaded(tmp_path).stage("check").tokens
    assert tokens == StageTokens(TokenLaw(120.0, 420.0, "draft", 20), TokenLaw(10.0, 30.0), source="lengths")


def test_a_table_has_measured_pairs_and_a_pipelines_text_holds_them(tmp_path: Path) -> None:
    text = changed(
        "{input: {mean: 300, p99: 900}, output: {mean: 100, p99: 400}, from: lengths}",
        "{table: log.csv, from: lengths}",
    )
    files = {"log.csv": "time,output_tokens,input_tokens\n0,10,100\n1,30,300\n"}
    tokens = loaded(tmp_path, text, files).stage("draft").tokens
    assert tokens is not None
    assert tokens.pairs == ((100, 10), (300, 30))
    assert (tokens.input, tokens.output) == (TokenLaw(200.0, 300.0), TokenLaw(20.0, 30.0))
    alone = profiles.text(tmp_path / "chat.yaml")
    assert "table: [[100, 10], [300, 30]]" in alone
    (tmp_path / "log.csv").unlink()
    assert loaded(tmp_path, alone).stage("draft").tokens == tokens


def test_columns_of_the_load_have_laws_for_the_plan(tmp_path: Path) -> None:
    tokens = loaded(tmp_path, changed("from: lengths}", "columns: [ContextTokens, GeneratedTokens], from: lengths}"))
    of_draft = tokens.stage("draft").tokens
    assert of_draft is not None
    assert of_draft.columns == ("ContextTokens", "GeneratedTokens")
    assert of_draft.input.mean == 300.0


# ---- cost ----


def test_a_replica_costs_its_cores_and_what_its_gpus_cost(tmp_path: Path) -> None:
    """A GPU costs 38 cores unless the file says otherwise."""
    pipeline = loaded(tmp_path)
    small, tiny = pipeline.stage("draft").variant("small"), pipeline.stage("check").variant("tiny")
    assert (small.base_cores, small.gpus, small.base_cores_why) == (39, 1, "1 core and 1 GPU at 38")
    assert (tiny.base_cores, tiny.gpus, tiny.base_cores_why) == (2, 0, "2 cores")
    dear = pipeline.with_gpu_cores(50)
    assert (dear.stage("draft").variant("small").base_cores, dear.gpu_cores) == (51, 50)
    own = loaded(tmp_path, changed("gpus: 1", "gpus: 2\n        gpu_cores: {value: 5, from: fit}"))
    assert own.with_gpu_cores(50).stage("draft").variant("small").base_cores == 11
    said = loaded(tmp_path, changed("stages:", "gpu_cores: {value: 10, from: fit}\nstages:"))
    assert (said.stage("draft").variant("small").base_cores, said.gpu_cores_from) == (11, "fit")


@settings(max_examples=60, deadline=None)
@given(
    gpus=st.integers(1, 12),
    load_rps=st.sampled_from([0.0, 1.0, 5.0, 12.0, 30.0]),
    sla_s=st.sampled_from([3.0, 8.0, 30.0]),
    gpus_of=st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(1, 3)),
)
def test_a_plan_within_gpus_is_the_best_of_all(
    gpus: int, load_rps: float, sla_s: float, gpus_of: tuple[int, int, int]
) -> None:
    """Two stages with GPUs, the first with two variants: every choice is tried."""
    first, second, third = gpus_of
    models = [
        LanguageModel(StepTime(0.01, 1e-4, 1e-7), 16, 1000, gpus=first),
        LanguageModel(StepTime(0.004, 1e-4, 1e-7), 16, 1000, gpus=second),
        LanguageModel(StepTime(0.002, 1e-5, 0.0), 8, 1000, gpus=third),
    ]
    variants = [
        Variant(f"v{k}", 0.5 + 0.1 * k, model.cost_cores(3), 8.0, model.figures(TOKENS, 3), language_model=model)
        for k, model in enumerate(models)
    ]
    stages = (
        Stage("a", "t", 1.0, 1.0, tuple(variants[:2]), tokens=TOKENS),
        Stage("b", "t", 1.0, 1.0, (variants[2],), tokens=TOKENS),
    )
    fewest = min(first, second) + third
    pipeline = Pipeline("p", "", stages, Defaults(alpha=50.0)).within(Limits(gpus=max(gpus, fewest)))
    programme = Programme.of(pipeline, sla_s=sla_s)
    solution = solve(Problem(programme, load_rps))
    best = -math.inf
    for rows in itertools.product(*(stage.rows for stage in programme.table.stages)):
        replicas = [max(1, math.ceil(load_rps / row.throughput_rps - 1e-9)) for row in rows]
        used = sum(row.gpus * count for row, count in zip(rows, replicas, strict=True))
        if used <= max(gpus, fewest) and sum(row.latency_s for row in rows) <= sla_s and max(replicas) <= 100:
            chosen = {
                stage.name: StageConfiguration(row.variant, row.batch, count, 0.0, row.cores)
                for stage, row, count in zip(stages, rows, replicas, strict=True)
            }
            best = max(best, programme.score(chosen)["total"])
    assert (solution.rung == "optimal") == (best > -math.inf)
    if best > -math.inf:
        assert solution.objective["total"] == pytest.approx(best, abs=1e-6)
    taken = sum(
        pipeline.stage(name).variant(chosen.variant).gpus * chosen.replicas
        for name, chosen in solution.configuration.items()
    )
    assert taken <= max(gpus, fewest)


@dataclass(frozen=True)
class Fixed:
    """Decides the same at every step."""

    configuration: Configuration

    def decide(self, observation: Observation, memory: Memory) -> Decision:
        return Decision(self.configuration, memory)


def test_any_other_policy_is_cut_to_the_gpus(tmp_path: Path) -> None:
    pipeline = loaded(tmp_path).within(Limits(gpus=3))
    wish = {
        "draft": StageConfiguration("small", 8, 7, 0.0, 39),
        "check": StageConfiguration("tiny", 8, 5, 0.0, 2),
    }
    decision = CoreLimit(Fixed(wish), pipeline).decide(observation(at_hand=wish), {})
    assert [decision.configuration[name].replicas for name in wish] == [3, 5]
    assert decision.binding == "gpus"


def test_nodes_hold_the_cores_that_a_replica_has_not_those_that_it_costs(tmp_path: Path) -> None:
    """39 cores of cost are one core on a node of 2."""
    pipeline = loaded(tmp_path).within(Limits(node_cores=2))
    assert solve(Problem(Programme.of(pipeline, sla_s=8.0), 10.0)).rung == "optimal"


def test_a_price_of_a_gpu_is_its_cost_in_cores(tmp_path: Path) -> None:
    loaded(tmp_path)
    scenario = find_scenario(str(tmp_path / "chat.yaml"), {"price_per_core": 0.5, "price_per_gpu": 5.0})
    assert pipeline_of(scenario).stage("draft").variant("small").base_cores == 11
    with pytest.raises(ValueError, match=r"a whole multiple of price_per_core, 0.5, such as 5 or 5.5; given 5.2"):
        pipeline_of(find_scenario(str(tmp_path / "chat.yaml"), {"price_per_core": 0.5, "price_per_gpu": 5.2}))
    with pytest.raises(ValueError, match="price_per_gpu: no variant of video has GPUs; leave it out"):
        pipeline_of(find_scenario("video", {"price_per_gpu": 5.2}))


def test_a_limit_of_gpus_leaves_one_replica_a_stage(tmp_path: Path) -> None:
    loaded(tmp_path, GOOD.replace("gpus: 1", "gpus: 4"))
    answer = "limit_gpus: 3 is less than one replica a stage takes; allowed: at least 4 (small 4)"
    with pytest.raises(ValueError, match=re.escape(answer)):
        pipeline_of(find_scenario(str(tmp_path / "chat.yaml"), {"limit_gpus": 3}))
    with pytest.raises(ValueError, match="limit_gpus: no variant of video has GPUs; leave it out"):
        pipeline_of(find_scenario("video", {"limit_gpus": 3}))


# ---- mistakes ----


@pytest.mark.parametrize(
    ("old", "new", "answer"),
    [
        (
            "kind: llm",
            "kind: lmm",
            "chat.yaml:11: stages[draft].kind: should be 'llm'; given 'lmm'; did you mean 'llm'?",
        ),
        (
            "mean: 300",
            "mean: 0",
            "chat.yaml:12: stages[draft].tokens.input.mean: should be from 1 to 10000000 tokens; given 0",
        ),
        (
            "p99: 900",
            "p99: 299",
            "stages[draft].tokens.input.p99: should be from the mean, 300, to 10000000 tokens; given 299",
        ),
        (
            "p99: 900",
            "p99: 9000",
            "draft].tokens.input.p99: should be at most 14.9 times the mean, as no lognormal has more; given 9000",
        ),
        (
            "mean: 300, ",
            "",
            "stages[draft].tokens.input: the key 'mean' is missing: say mean and p99, or `after` another stage",
        ),
        (
            "{mean: 300, p99: 900}",
            "{mean: 300, p99: 900, plus: 3}",
            "stages[draft].tokens.input.plus: goes with `after`: leave this out",
        ),
        (
            "output: {mean: 100, p99: 400}, ",
            "",
            "stages[draft].tokens: the key 'output' is missing: say mean and p99, or give a `table`",
        ),
        (
            "input: {mean: 300, p99: 900}, output: {mean: 100, p99: 400}",
            "columns: [a, b]",
            "stages[draft].tokens: the key 'input' is missing: say mean and p99; `columns` are not known to a plan",
        ),
        (
            "{mean: 300, p99: 900}, output: {mean: 100",
            "{mean: 300, p99: 900}, table: [[1, 2]], output: {mean: 100",
            "stages[draft].tokens.input: `table` says it all: leave this out",
        ),
        (
            "{mean: 10, p99: 30}",
            "{after: draft}",
            "stages[check].tokens.output.after: only the input can be what another stage has put out",
        ),
        (
            "after: draft",
            "after: drafts",
            "should be a stage of language models just before check; did you mean 'draft'?; allowed: draft",
        ),
        (
            "{mean: 300, p99: 900}",
            "{after: check}",
            "input.after: should be a stage of language models just before draft; allowed: there is none; given",
        ),
        ("kv_blocks: 1000", "kv_blocks: 0", "stages[draft].variants[small].kv_blocks: should be at least 1; given 0"),
        (
            "kv_blocks: 1000",
            "kv_blocks: 24",
            "kv_blocks: should hold a mean request of 400 tokens; 24 blocks of 16 hold 384",
        ),
        ("sequences: 64", "sequences: 0", "stages[draft].variants[small].sequences: should be at least 1; given 0"),
        (
            "sequences: 64",
            "sequences: 64\n        tokens_per_step: 0",
            "stages[draft].variants[small].tokens_per_step: should be at least 1; given 0",
        ),
        (
            "sequences: 64",
            "sequences: 64\n        block_tokens: 0",
            "stages[draft].variants[small].block_tokens: should be at least 1; given 0",
        ),
        ("base_s: 0.01", "base_s: 0", "stages[draft].variants[small].step.base_s: should be above 0; given 0"),
        (
            "per_token_s: 1e-4",
            "per_token_s: -1",
            "stages[draft].variants[small].step.per_token_s: should be at least 0; given -1",
        ),
        (
            "gpus: 1",
            "gpu: 1",
            "stages[draft].variants[small].gpu: unknown key; did you mean 'gpus'?; allowed: name",
        ),
        (
            "kv_blocks: 1000",
            "figures: []",
            "stages[draft].variants[small].figures: unknown key",
        ),
        (
            "start_up_s: 60",
            "start_up_s: 60\n        start_up: {seconds: 6, from: fit}",
            "stages[draft].variants[small].start_up_s: `start_up` says it: leave this out",
        ),
        (
            "from: lengths}",
            "from: length}",
            "stages[draft].tokens.from: no provenance is called 'length'; did you mean 'lengths'?",
        ),
        (
            "1e-7, from: fit",
            "1e-7, from: fitt",
            "stages[draft].variants[small].step.from: no provenance is called 'fitt'; did you mean 'fit'?",
        ),
    ],
)
def test_mistakes_are_told_with_file_line_and_key(tmp_path: Path, old: str, new: str, answer: str) -> None:
    assert answer in refusal(tmp_path, changed(old, new)).splitlines()[0]


def test_a_cost_of_gpus_without_gpus_is_refused(tmp_path: Path) -> None:
    text = changed("stages:", "gpu_cores: {value: 10, from: fit}\nstages:").replace("        gpus: 1\n", "")
    assert refusal(tmp_path, text) == "chat.yaml:8: gpu_cores: no variant has GPUs: leave this out"


@pytest.mark.parametrize(
    ("table", "answer"),
    [
        (
            "input_tokens,output_tokens\n3,0\n",
            "log.csv:2: output_tokens: should be a whole number from 1 to 10000000; given 0",
        ),
        (
            "input_tokens,output_tokens\n3\n",
            "log.csv:2: output_tokens: should be a number; given ''",
        ),
        ("input,output\n3,4\n", "log.csv:1: the column input_tokens is missing; given: input, output"),
        ("input_tokens,output_tokens\n", "log.csv: the table has no rows"),
    ],
)
def test_a_wrong_table_is_told_with_line_and_column(tmp_path: Path, table: str, answer: str) -> None:
    text = changed("input: {mean: 300, p99: 900}, output: {mean: 100, p99: 400}", "table: log.csv")
    assert answer in refusal(tmp_path, text, {"log.csv": table})


def test_only_stages_of_language_models_have_them(tmp_path: Path) -> None:
    pipeline = loaded(tmp_path)
    with pytest.raises(ProfileError, match="draft: small: all variants are language models if there are tokens"):
        profiles.Stage("draft", "t", 1.0, 1.0, pipeline.stage("draft").variants)

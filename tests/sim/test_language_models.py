"""Stages of language models: both engines equal a slow literal step loop in every request, item, replica and token."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from ipa.errors import InputError
from ipa.policies import StageConfiguration
from ipa.profiles import LanguageModel, StageTokens, StepTime, TokenLaw
from ipa.sim import laws
from ipa.sim.engines import choose_engine, create_engine
from ipa.sim.language_model import TokenRows, refused
from ipa.sim.model import RunInput, ServiceTime, StageModel, World
from ipa.sim.records import OUTCOMES, Records, collect_records
from tests.sim import token_oracle, token_runs
from tests.sim.test_engines import MODES, differences, kinds_and_blocks

BLOCK = 10
KINDS = {"plain": 20, "limited": 10}
"""How many blocks of scenarios in each mode; for the kinds see `test_engines.KINDS`."""

ENGINES = ["simpy", pytest.param("compiled", marks=pytest.mark.skipif(not find_spec("numba"), reason="needs numba"))]


@pytest.mark.parametrize(("kind", "block"), kinds_and_blocks(KINDS))
@pytest.mark.parametrize(("dispatch", "drop"), MODES)
@pytest.mark.parametrize("shape", ["chain", "graph"])
def test_both_engines_equal_the_oracle(shape: str, dispatch: str, drop: str, kind: str, block: int) -> None:
    draw = token_runs.graph_for if shape == "graph" else token_runs.drawn_for
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        drawn = draw(kind, dispatch, drop, seed)
        records, expected = token_runs.run(drawn, seed), token_oracle.simulate(drawn)
        assert token_runs.difference(records, expected) is None, f"seed {seed}"
        assert records.run_end_s == expected["end_s"]
        assert records.integral_s.tolist() == pytest.approx(expected["queue_integral"], rel=1e-9, abs=1e-9)
        oldest_s = laws.oldest_s(token_runs.parts(drawn, seed)[0])
        assert list(laws.violations(records, eager=dispatch == "eager", oldest_s=oldest_s)) == [], f"seed {seed}"
        if find_spec("numba"):
            compiled = token_runs.run(drawn, seed, "compiled")
            assert list(differences(records, compiled)) == [], f"seed {seed}"


def test_these_scenarios_have_what_they_are_for() -> None:
    """Several requests at a replica that give way, drops, losses, replicas that are too small, and fan-out."""
    chains = [token_runs.drawn_for("plain", *MODES[0], seed) for seed in range(60)]
    runs = [token_oracle.TokenChain(drawn) for drawn in chains]
    results = [run.run() for run in runs]
    assert sum(engine.gave_way > 0 for run in runs for engine in run.engines.values()) > 20
    outcomes = [request["outcome"] for result in results for request in result["requests"]]
    assert set(outcomes) == set(OUTCOMES)
    logs = [(record, stage) for record in map(token_runs.run, chains, range(60)) for stage in _of_tokens(record)]
    without_room = [refused(record, stage, np.arange(len(record.request))) for record, stage in logs]
    assert sum(map(np.any, without_room)) > 10
    assert max(int(record.steps[stage].most_sequences.max(initial=0)) for record, stage in logs) > 5  # type: ignore[union-attr]
    graphs = [token_runs.run(token_runs.graph_for("plain", *MODES[0], seed), seed) for seed in range(40)]
    more = [
        part for record in graphs for part in record.items if part.tokens and len(set(part.request)) < len(part.request)
    ]
    assert len(more) > 3


def _of_tokens(records: Records) -> list[int]:
    return [stage for stage, log in enumerate(records.tokens) if log is not None]


# ---------------------------------------------------------------- by hand


def one_stage(
    step: StepTime,
    rows: list[tuple[float, int, int]],
    *,
    sequences: int = 8,
    blocks: int = 1000,
    batch: int | None = None,
    replicas: int = 1,
    seed: int = 1,
) -> tuple[RunInput, dict[str, StageConfiguration]]:
    """A stage of language models before which requests arrive: (when, input tokens, output tokens)."""
    law = StageTokens(TokenLaw(1.0, 1.0), TokenLaw(1.0, 1.0), columns=("in", "out"))
    model = LanguageModel(step, sequences, blocks)
    service = {("m", 1): ServiceTime((0.0, *[1.0] * sequences))}
    arrivals_s, prompts, outputs = (np.array(column) for column in zip(*rows, strict=True))
    world = World(float(arrivals_s[-1]) + 1.0, 1e9)
    stage = StageModel("answer", service, {"m": 1.0}, 1e9, {"m": model}, law)
    given = RunInput([stage], world, arrivals_s.astype(float), seed, columns={"in": prompts, "out": outputs})
    first = StageConfiguration(variant="m", batch=batch or sequences, replicas=replicas, cores=1, batch_timeout_s=0.0)
    return given, {"answer": first}


def went(engine: str, given: RunInput, initial: dict[str, StageConfiguration]) -> Records:
    built = create_engine(engine, given, initial)
    for _ in built.steps(iter(())):
        pass
    records = collect_records(built)
    assert list(laws.violations(records, eager=False)) == []
    return records


@pytest.mark.parametrize("engine", ENGINES)
def test_a_request_joins_at_the_next_step_and_leaves_with_its_last_token(engine: str) -> None:
    """Steps of 1 s; the second request comes during the first step of the first one."""
    records = went(engine, *one_stage(StepTime(1.0, 0.0, 0.0), [(0.0, 30, 3), (0.5, 5, 1)]))
    (log,) = records.tokens
    assert log is not None
    assert log.first_s.tolist() == [1.0, 2.0]
    assert records.start_s[0].tolist() == [0.0, 0.5]
    assert records.finish_s[0].tolist() == [3.0, 2.0]


@pytest.mark.parametrize("engine", ENGINES)
def test_who_has_the_fewest_requests_gets_the_next(engine: str) -> None:
    """Five at once, for two replicas of at most two: the lowest number first, and the fifth waits."""
    rows = [(0.0, 1, 2), (0.0, 1, 4), (0.0, 1, 4), (0.0, 1, 4), (0.0, 1, 1)]
    records = went(engine, *one_stage(StepTime(1.0, 0.0, 0.0), rows, batch=2, replicas=2))
    assert records.replica[0].tolist() == [0, 1, 0, 1, 0]
    assert records.start_s[0].tolist() == [0.0, 0.0, 0.0, 0.0, 2.0]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_prompt_beyond_all_blocks_fails_as_it_comes_to_the_replica(engine: str) -> None:
    """Two blocks of 16 tokens: a prompt of 30 may have three tokens, the last of which is not computed."""
    rows = [(0.0, 33, 1), (0.0, 30, 3), (0.0, 30, 4)]
    records = went(engine, *one_stage(StepTime(1.0, 0.0, 0.0), rows, blocks=2))
    assert [OUTCOMES[code] for code in records.outcome] == ["failed", "completed", "failed"]
    assert records.end_s.tolist() == [0.0, 3.0, 0.0]


# ---------------------------------------------------------------- theory


@pytest.mark.parametrize("engine", ENGINES)
def test_one_sequence_is_a_single_server_with_the_time_of_its_steps(engine: str) -> None:
    rng = np.random.default_rng(5)
    arrivals_s = np.cumsum(rng.exponential(1.0, 300))
    prompts, outputs = rng.integers(2, 200, 300), rng.integers(1, 60, 300)
    a, b, d = 0.01, 2e-4, 1e-6
    rows = list(zip(arrivals_s.tolist(), prompts.tolist(), outputs.tolist(), strict=True))
    records = went(engine, *one_stage(StepTime(a, b, d), rows, sequences=1))
    read = prompts * (outputs - 1) + outputs * (outputs - 1) // 2
    service_s = a * outputs + b * (prompts + outputs - 1) + d * read
    free_s, expected_s = 0.0, []
    for arrival_s, took_s in zip(arrivals_s, service_s, strict=True):
        free_s = max(free_s, arrival_s) + took_s
        expected_s.append(free_s)
    assert records.finish_s[0].tolist() == pytest.approx(expected_s, rel=1e-12)


def _means_s(step: StepTime, apart_s: float, mean_tokens: int, sequences: int) -> np.ndarray:
    """The mean time at the stage of later requests, in twelve runs of geometric numbers of tokens."""
    engine, means_s = choose_engine("auto"), []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        arrivals_s = np.cumsum(rng.exponential(apart_s, 1500))
        rows = [(s, 1, int(o)) for s, o in zip(arrivals_s.tolist(), rng.geometric(1 / mean_tokens, 1500), strict=True)]
        records = went(engine, *one_stage(step, rows, sequences=sequences, blocks=10**6))
        means_s.append(float((records.finish_s[0] - arrivals_s)[200:].mean()))
    return np.array(means_s)


def test_steps_in_proportion_to_their_tokens_share_the_processor() -> None:
    """M/G/1 processor sharing: a mean time of E[S] / (1 - load), here 0.4 s / (1 - 0.6), but for waits of a step."""
    means_s = _means_s(StepTime(0.0, 1e-3, 0.0), 0.4 / 0.6, 400, 200)
    assert means_s.mean() == pytest.approx(1.0, abs=4 * means_s.std(ddof=1) / np.sqrt(12) + 0.004)


def test_fixed_steps_serve_everybody_at_once() -> None:
    """M/G/infinity: a request takes its tokens' steps, and waits for at most one, however many there are."""
    means_s = _means_s(StepTime(0.01, 0.0, 0.0), 0.1, 100, 200)
    deviation_s = 4 * means_s.std(ddof=1) / np.sqrt(12)
    assert 1.0 - deviation_s <= means_s.mean() <= 1.01 + deviation_s


# ---------------------------------------------------------------- tokens


def test_tokens_have_the_mean_and_p99_of_their_law_and_follow_another_stage() -> None:
    made = [StageTokens(TokenLaw(857, 4000), TokenLaw(653, 2000))]
    made.append(StageTokens(TokenLaw(773, 2120, after="a", plus=120), TokenLaw(5, 20)))
    models = [StageModel(name, {}, {}, 1.0, tokens=law) for name, law in zip("ab", made, strict=True)]
    rows = TokenRows(RunInput(models, World(1.0, 1.0), np.zeros(200_000), 7))
    prompts, outputs = rows.of(0)
    for tokens, law in ((prompts, made[0].input), (outputs, made[0].output), (rows.of(1)[1], made[1].output)):
        assert tokens.mean() == pytest.approx(law.mean, rel=0.01)
        assert np.quantile(tokens, 0.99) == pytest.approx(law.p99, rel=0.02)
    assert np.array_equal(rows.of(1)[0], outputs + 120)
    assert abs(np.corrcoef(prompts, outputs)[0, 1]) < 0.01
    assert np.array_equal(rows.of(0, 2)[0][:200_000], prompts)


def test_columns_that_the_load_does_not_have_are_refused() -> None:
    given, initial = one_stage(StepTime(1.0, 0.0, 0.0), [(0.0, 1, 1)])
    with pytest.raises(InputError, match="answer: tokens: the load has no column 'in'"):
        create_engine("simpy", replace(given, columns={}), initial)


# ---------------------------------------------------------------- laws


@pytest.mark.parametrize(
    ("law", "change"),
    [
        ("L15", lambda log, _: {"tokens": (log._replace(generated=log.generated - 1),)}),
        ("L15", lambda log, _: {"tokens": (log._replace(first_s=log.first_s + 100.0),)}),
        ("L16", lambda _, steps: {"steps": (steps._replace(most_tokens=steps.tokens + 1),)}),
        ("L16", lambda _, steps: {"steps": (steps._replace(most_blocks=steps.blocks + 1),)}),
        ("L16", lambda _, steps: {"steps": (steps._replace(most_sequences=steps.sequences + 1),)}),
        ("L17", lambda _, steps: {"steps": (steps._replace(stepped_s=steps.stepped_s + 0.5),)}),
    ],
)
def test_a_broken_law_is_named(law: str, change: Callable[[Any, Any], dict[str, Any]]) -> None:
    records = went("simpy", *one_stage(StepTime(1.0, 0.0, 0.0), [(0.0, 30, 3), (0.5, 5, 1)]))
    found = laws.violations(replace(records, **change(records.tokens[0], records.steps[0])), eager=False)
    assert {each.split(":")[0] for each in found} == {law}


def test_more_requests_at_once_than_the_batch_in_force_break_a_law() -> None:
    records = went("simpy", *one_stage(StepTime(1.0, 0.0, 0.0), [(0.0, 30, 3), (0.5, 5, 1)]))
    found = list(laws.violations(replace(records, configured=(((0.0, 1),),)), eager=False))
    assert found == ["L4: at stage answer a replica had more requests at once than the batch size in force"]

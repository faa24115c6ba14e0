"""Random chains and graphs with stages of language models, in the oracle's format, and the engines on them."""

from __future__ import annotations

from dataclasses import replace
from math import exp, isnan, sqrt
from random import Random
from typing import Any

import numpy as np
from scipy.special import ndtri

from ipa.profiles import LanguageModel, StageTokens, StepTime, TokenLaw
from ipa.sim.engines import create_engine
from ipa.sim.graph import collect_records
from ipa.sim.interface import Engine
from ipa.sim.model import RunInput
from ipa.sim.records import Records
from tests.sim import engine_runs, graph_runs
from tests.sim.random_scenarios import scenario, ways, with_limit

MOST_ROUNDS = 40
Z99 = 2.3263478740408408


def with_language(made: dict[str, Any], seed: int) -> dict[str, Any]:
    """The scenario with language models at some of its stages, at least one."""
    rng = Random(f"language {seed}")
    stages = range(len(made["stages"]))
    chosen = {rng.choice(stages), *(stage for stage in stages if rng.random() < 0.4)}
    made = made | {"language": [_variants(made["stages"][s], rng) if s in chosen else None for s in stages]}
    made["initial"] = [_within(each, made["language"][s], rng) for s, each in enumerate(made["initial"])]
    made["decisions"] = [
        [time, [_within(each, made["language"][s], rng) for s, each in enumerate(configurations)]]
        for time, configurations in made["decisions"]
    ]
    laws: list[StageTokens | None] = []
    for stage in stages:
        before = [s for s in range(stage) if s in chosen]
        laws.append(_law(rng, before) if stage in chosen else None)
    made["laws"] = laws
    made["columns"] = {
        name: [rng.randint(1, 12) for _ in made["arrivals"]] for name in ("ContextTokens", "GeneratedTokens")
    }
    rounds = MOST_ROUNDS if "edges" in made else 1
    made["token_rows"] = []
    for stage in stages:
        made["token_rows"].append(_rows(made, seed, stage, rounds) if stage in chosen else None)
    return made


def _variants(stage: dict[str, Any], rng: Random) -> dict[str, Any]:
    on_grid = rng.random() < 0.5
    found = {}
    for name in stage["variants"]:
        block_tokens = rng.choice([1, 2, 4, 16])
        found[name] = {
            "base_s": rng.choice([0.125, 0.25]) if on_grid else rng.uniform(0.01, 0.2),
            "per_token_s": rng.choice([0.0, 0.0625]) if on_grid else rng.uniform(0.0, 0.02),
            "per_cached_token_s": rng.choice([0.0, 0.0078125]) if on_grid else rng.uniform(0.0, 0.001),
            "sequences": rng.randint(1, 8),
            "blocks": -(-rng.choice([12, 24, 32, 64, 1000]) // block_tokens),
            "tokens_per_step": rng.choice([1, 3, 8, 16, 2048]),
            "block_tokens": block_tokens,
        }
    return found


def _within(configuration: dict[str, Any], language: dict[str, Any] | None, rng: Random) -> dict[str, Any]:
    if language is None:
        return configuration
    most = language[configuration["variant"]]["sequences"]
    return configuration | {"batch": min(rng.choice([configuration["batch"], 8]), most)}


def _law(rng: Random, before: list[int]) -> StageTokens:
    output = TokenLaw(rng.uniform(2, 8), 24.0)
    kind = rng.choice(["lognormal", "pairs", "columns", "after"])
    if kind == "pairs":
        return StageTokens.of_pairs([(rng.randint(1, 20), rng.randint(1, 12)) for _ in range(rng.randint(1, 6))])
    if kind == "columns":
        return StageTokens(output, output, columns=("ContextTokens", "GeneratedTokens"))
    if kind == "after" and before:
        return StageTokens(TokenLaw(9.0, 30.0, after=str(rng.choice(before)), plus=rng.randint(0, 5)), output)
    return StageTokens(TokenLaw(rng.uniform(2.5, 10), 30.0), output)


def _rows(made: dict[str, Any], seed: int, stage: int, rounds: int) -> list[tuple[int, int]]:
    """The tokens of a stage's rows, from the text of rule 13."""
    law, requests = made["laws"][stage], len(made["arrivals"])
    if law.columns:
        return list(zip(*(made["columns"][name] for name in law.columns), strict=True)) * rounds
    sequence = np.random.SeedSequence(seed, spawn_key=(9, stage))
    uniforms = np.random.Generator(np.random.PCG64(sequence)).random(2 * rounds * requests).tolist()
    rows = []
    for row in range(rounds * requests):
        u, v = uniforms[2 * row : 2 * row + 2]
        if law.pairs:
            rows.append(law.pairs[int(u * len(law.pairs))])
            continue
        if law.input.after:
            prompt = made["token_rows"][int(law.input.after)][row][1] + law.input.plus
        else:
            prompt = lognormal(law.input, u)
        rows.append((prompt, lognormal(law.output, v)))
    return rows


def lognormal(law: TokenLaw, level: float) -> int:
    """The quantile of a law at this level, as a number of tokens."""
    sigma = Z99 - sqrt(Z99**2 - 2 * np.log(law.p99 / law.mean))
    return max(1, round(law.mean * exp(sigma * ndtri(max(level, 2.0**-54)) - sigma * sigma / 2)))


def drawn_for(kind: str, dispatch: str, drop: str, seed: int) -> dict[str, Any]:
    """A chain with the engines' draws in it; `kind`: as of `test_engines.KINDS`."""
    made = scenario(seed, dispatch=dispatch, drop=drop, **ways(seed))
    return with_language(
        engine_runs.with_engine_draws(with_limit(made, seed) if kind == "limited" else made, seed), seed
    )


def graph_for(kind: str, dispatch: str, drop: str, seed: int) -> dict[str, Any]:
    """The same of a graph."""
    return with_language(graph_runs.scenario(seed, dispatch=dispatch, drop=drop, kind=kind), seed)


def parts(made: dict[str, Any], seed: int) -> tuple[RunInput, Any]:
    """What an engine is built from, and what stands ready at the start."""
    graph = graph_runs.graph_of(made) if "edges" in made else None
    given, initial = engine_runs.parts(made, seed, graph)
    models = [
        replace(model, language=_models(language), tokens=law) if language else model
        for model, language, law in zip(given.models, made["language"], made["laws"], strict=True)
    ]
    columns = {name: np.array(values, dtype=np.int64) for name, values in made["columns"].items()}
    return replace(given, models=models, columns=columns), initial


def _models(language: dict[str, Any]) -> dict[str, LanguageModel]:
    return {
        name: LanguageModel(
            StepTime(each["base_s"], each["per_token_s"], each["per_cached_token_s"]),
            each["sequences"],
            each["blocks"],
            each["tokens_per_step"],
            each["block_tokens"],
        )
        for name, each in language.items()
    }


def run(made: dict[str, Any], seed: int, engine: str = "simpy") -> Records:
    """What an engine makes of a scenario."""
    return collect_records(go(made, seed, engine))


def go(made: dict[str, Any], seed: int, engine: str = "simpy") -> Engine:
    """An engine at the end of a scenario."""
    return graph_runs.go(create_engine(engine, *parts(made, seed)), made)


def difference(records: Records, oracle: dict[str, Any]) -> str | None:
    """The first thing in which the engine's records differ from a result of the oracle; None where all is equal."""
    found = (graph_runs if records.items else engine_runs).difference(records, oracle)
    if found is not None:
        return found
    logs = [part.tokens[0] if part.tokens else None for part in records.items] if records.items else records.tokens
    for stage, (log, expected) in enumerate(zip(logs, oracle["tokens"], strict=True)):
        mine = None
        if log is not None:
            rows = zip(*(column.tolist() for column in log), strict=True)
            mine = [dict(zip(("input", "output", "generated", "first"), row, strict=True)) for row in rows]
            mine = [each | {"first": None if isnan(each["first"]) else each["first"]} for each in mine]
        if mine != expected:
            return f"stage {stage}: tokens of the engine {mine}, of the oracle {expected}"
    return None

"""What stages of language models take in each engine: Llama 3.1 8B on one GPU, and twenty minutes of chat."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from ipa.policies import StageConfiguration
from ipa.profiles import LanguageModel, StageTokens, StepTime, TokenLaw
from ipa.sim import Engine, FloatArray, RunInput, ServiceTime, StageModel, World
from tests.programs.benchmarks.tables import Column, Table, Value, cpu_s
from tests.programs.benchmarks.tandem.ours import ENGINES

REPEATS = 5
MODEL = LanguageModel(StepTime(0.0130, 42.4e-6, 6.8e-8), sequences=128, kv_blocks=36_578)
"""Llama 3.1 8B on an RTX PRO 6000, fitted to a measured run."""

TOKENS = StageTokens(TokenLaw(857, 4000), TokenLaw(653, 2000))
"""About those of ShareGPT."""

SCARCE = LanguageModel(StepTime(0.0154, 90.9e-6, 1.36e-7), sequences=256, kv_blocks=2_588)
"""The same on an RTX 4090, where requests have to give way."""


def language_models() -> Table:
    """Processor seconds of each engine."""
    cases = (
        ("300 requests, 2 /s, one replica", partial(alone, MODEL)),
        ("the same, scarce KV blocks", partial(alone, SCARCE)),
        ("20 minutes of chat at 5 /s", chat),
    )
    return Table(
        name="language",
        title="Language models, without decisions and tables: processor seconds",
        columns=(
            Column("case", "case"),
            Column("engine", "engine"),
            Column("requests", "requests", ",d"),
            Column("tokens", "output tokens", ",d"),
            Column("spent_s", "processor s", ".4f"),
        ),
        rows=tuple(_row(name, *case(), engine) for name, case in cases for engine in ENGINES),
        notes=("Chat: an embedding, then the model on three replicas.",),
    )


def alone(model: LanguageModel) -> tuple[RunInput, dict[str, StageConfiguration]]:
    """300 requests at one replica."""
    arrivals_s = np.cumsum(np.random.default_rng(1).exponential(0.5, 300))
    return _run([_stage(model)], arrivals_s), {"answer": _configuration(model.sequences, 1)}


def chat() -> tuple[RunInput, dict[str, StageConfiguration]]:
    """Twenty minutes at 5 requests a second: a short stage, then the model on three replicas."""
    rng = np.random.default_rng(1)
    arrivals_s = np.sort(rng.uniform(0.0, 1200.0, rng.poisson(6000)))
    embedding = StageModel(
        "look-up", {("m", 1): ServiceTime(tuple(0.01 + 0.002 * n for n in range(9)))}, {"m": 1.0}, 1e9
    )
    initial = {"look-up": _configuration(8, 1), "answer": _configuration(MODEL.sequences, 3)}
    return _run([embedding, _stage(MODEL)], arrivals_s), initial


def _stage(model: LanguageModel) -> StageModel:
    service = ServiceTime((0.0, *[1.0] * model.sequences))
    return StageModel("answer", {("m", 1): service}, {"m": 60.0}, 1e9, {"m": model}, TOKENS)


def _run(stages: list[StageModel], arrivals_s: FloatArray) -> RunInput:
    return RunInput(stages, World(float(arrivals_s[-1]) + 1.0, 1e6), arrivals_s, 1)


def _configuration(batch: int, replicas: int) -> StageConfiguration:
    return StageConfiguration("m", batch, replicas, 0.0, 1)


def _row(name: str, given: RunInput, initial: dict[str, StageConfiguration], engine: str) -> dict[str, Value]:
    make: Callable[..., Engine] = ENGINES[engine]

    def go() -> Engine:
        built = make(given, initial)
        for _ in built.steps(iter(())):
            pass
        return built

    log = go().stages[-1].token_log()  # compiled code is compiled, or loaded, by now
    assert log is not None
    return {
        "case": name,
        "engine": engine,
        "requests": len(given.arrivals_s),
        "tokens": int(log.generated.sum()),
        "spent_s": cpu_s(go, REPEATS),
    }

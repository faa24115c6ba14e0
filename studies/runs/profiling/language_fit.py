"""The step of a language model, fitted to requests that a real engine has served.

Simulated on their arrivals and tokens, they should have the times that were measured. The fit minimises the mean
absolute logarithm of simulated over measured time to first token, time per further token and end-to-end time, over a
part of the requests (Nelder-Mead, in the logarithms of the step's figures); the rest judges it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ipa import profiles
from ipa.policies import StageConfiguration
from ipa.profiles import LanguageModel, StageTokens, StepTime, TokenLaw
from ipa.sim import FloatArray, IntArray, RunInput, ServiceTime, StageModel, World, choose_engine, create_engine
from ipa.studies.scenario import ScenarioError

TIMES = ("ttft_s", "tpot_s", "latency_s")
"""Time to first token, time per further token, end to end."""

MOST_TRIES, MOST_TRIES_OF_OTHERS = 120, 60
"""Simulations per load of the fit, and of each fit with another base."""

BASE_SHARES = (0.3, 0.6, 0.9)
"""The shares that the base has of a step where the fit begins; it goes on from the best."""

OTHER_BASES = (0.75, 4 / 3)
"""The bases, over that of the fit, with which the other figures are fitted again."""

ALIKE = 0.005
"""How much more the mean error of a time may be for a fit to be as good."""

LEAST_S = 1e-6


@dataclass(frozen=True, eq=False)
class MeasuredRequests:
    """Requests that one replica has served, sorted by arrival: when each came, had its first token and its last one, on
    one clock [s], and its tokens. Shape (requests,) each.
    """

    name: str
    queued_s: FloatArray
    first_s: FloatArray
    last_s: FloatArray
    input_tokens: IntArray
    output_tokens: IntArray

    @property
    def times_s(self) -> FloatArray:
        """`TIMES` of each request, shape (3, requests)."""
        return times_s(self, self.first_s, self.last_s)

    @property
    def laws(self) -> StageTokens:
        """Laws with the mean and p99 of its tokens."""
        exact = StageTokens.of_pairs(list(zip(self.input_tokens.tolist(), self.output_tokens.tolist(), strict=True)))
        return StageTokens(exact.input, exact.output)


def times_s(requests: MeasuredRequests, first_s: FloatArray, last_s: FloatArray) -> FloatArray:
    """`TIMES` of requests that have their tokens then, shape (3, requests)."""
    further = np.maximum(1, requests.output_tokens - 1)
    return np.array([first_s - requests.queued_s, (last_s - first_s) / further, last_s - requests.queued_s])


# ---- reading ----

COLUMNS = ("queued_s", "first_token_s", "last_token_s", "input_tokens", "output_tokens")
"""Of a table of measured requests; others are not read."""


def read(path: Path) -> MeasuredRequests:
    """A CSV table of measured requests. Raises ProfileError, with file, line and column, for what is none."""
    table = profiles.read_numbers(path, COLUMNS)
    for line, row in table.items():
        problem = _problem(dict(zip(COLUMNS, row, strict=True)))
        if problem:
            raise profiles.ProfileError(f"{path}:{line}: {problem}")
    columns = np.array(list(table.values()))
    columns = columns[np.argsort(columns[:, 0], kind="stable")]
    queued_s, first_s, last_s = columns[:, :3].T - columns[0, 0]
    tokens = columns[:, 3:].astype(np.int64).T
    return MeasuredRequests(path.name, queued_s, first_s, last_s, tokens[0], tokens[1])


def _problem(row: Mapping[str, float]) -> str:
    for name in COLUMNS[3:]:
        if not (row[name] >= 1 and row[name].is_integer()):
            return f"{name}: should be a whole number from 1; given {row[name]:g}"
    for before, after in (COLUMNS[:2], COLUMNS[1:3]):
        if row[after] < row[before]:
            return f"{after}: should be at least {before}, {row[before]:g}; given {row[after]:g}"
    return ""


# ---- simulating ----


class SimulatedReplica:
    """One replica of a language model that serves measured requests, as a simulation has it."""

    def __init__(self, model: LanguageModel, requests: MeasuredRequests) -> None:
        self._model, self._requests = model, requests
        self._engine = choose_engine("auto")
        duration_s = float(requests.last_s.max()) + 1.0
        self._world = World(duration_s=duration_s, bound_s=1000 * duration_s, sla_s=1000 * duration_s)
        self._columns = {"input": requests.input_tokens, "output": requests.output_tokens}
        self._tokens = replace(requests.laws, columns=("input", "output"))

    def times_s(self, step: StepTime) -> FloatArray:
        """`TIMES` of its requests if steps take so long, shape (3, requests)."""
        model = replace(self._model, step=step)
        name = self._requests.name
        unused = ServiceTime((0.0, 1.0), None)
        stage = StageModel(name, {(name, 1): unused}, {name: 0.0}, math.inf, {name: model}, self._tokens)
        run = RunInput((stage,), self._world, self._requests.queued_s, 0, columns=self._columns)
        ready = {name: StageConfiguration(name, model.sequences, 1, 0.0, 1)}
        engine = create_engine(self._engine, run, ready)
        for _ in engine.steps(iter(())):
            pass
        log, batches = engine.stages[0].token_log(), engine.stages[0].batch_log()
        assert log is not None
        last_s = np.empty(len(batches.requests))
        last_s[batches.requests] = batches.finish_s
        return times_s(self._requests, log.first_s, last_s)


# ---- fitting ----


@dataclass(frozen=True, eq=False)
class Fit:
    """A step, and how far its simulated times are off.

    `errors`: for each table and each of `TIMES`, relative to what was measured, of the requests that the fit has not
    seen: of the mean, of the p90, and on average by request. `others`: steps that fit as well, or nearly.
    """

    model: LanguageModel
    loss: float
    fitted: int
    judged: int
    errors: Mapping[str, Mapping[str, tuple[float, float, float]]]
    others: tuple[StepTime, ...]

    @property
    def is_identified(self) -> bool:
        """Whether the requests tell the figures of the step apart."""
        return not self.others


def fit(model: LanguageModel, tables: Sequence[MeasuredRequests], part: float) -> Fit:
    """The step of a model, whose own is ignored, with which its simulated requests are most like the measured ones.

    `part`: the share of the requests of each table, the first ones, that is fitted. ScenarioError: too few requests,
    or one that does not fit the model's blocks.
    """
    _check(model, tables, part)
    replicas = [SimulatedReplica(model, requests) for requests in tables]
    fitted_counts = [math.ceil(part * len(requests.queued_s)) for requests in tables]

    def loss(step: StepTime) -> float:
        errors = [
            np.abs(np.log(_positive(replica.times_s(step)[:, :count]) / _positive(requests.times_s[:, :count])))
            for replica, requests, count in zip(replicas, tables, fitted_counts, strict=True)
        ]
        return float(np.concatenate(errors, axis=1).mean())

    def best_from(start: Sequence[float]) -> list[float]:
        return _minimise(lambda logs: loss(_step(logs)), start, MOST_TRIES)

    def refitted(base: float) -> StepTime:
        return _step([base, *_minimise(lambda logs: loss(_step([base, *logs])), figures[1:], MOST_TRIES_OF_OTHERS)])

    starts = [best_from(_start(tables, share)) for share in BASE_SHARES]
    figures = best_from(min(starts, key=lambda logs: loss(_step(logs))))
    step, least = _step(figures), loss(_step(figures))
    others = []
    for factor in OTHER_BASES:
        refit = refitted(figures[0] + math.log(factor))
        if loss(refit) <= least + ALIKE:
            others.append(refit)
    errors = {
        requests.name: dict(_errors(replica.times_s(step)[:, count:], requests.times_s[:, count:]))
        for replica, requests, count in zip(replicas, tables, fitted_counts, strict=True)
    }
    judged = sum(len(requests.queued_s) for requests in tables) - sum(fitted_counts)
    return Fit(replace(model, step=step), least, sum(fitted_counts), judged, errors, tuple(others))


def _check(model: LanguageModel, tables: Sequence[MeasuredRequests], part: float) -> None:
    for requests in tables:
        count = len(requests.queued_s)
        if min(math.ceil(part * count), count - math.ceil(part * count)) < 10:
            raise ScenarioError(f"{requests.name}: {count} requests, of which {part:g} are fitted: both parts need 10")
        longest = int((requests.input_tokens + requests.output_tokens).max())
        room = model.kv_blocks * model.block_tokens
        if longest - 1 > room:
            raise ScenarioError(
                f"{requests.name}: a request has {longest} tokens; {model.kv_blocks} KV blocks of "
                f"{model.block_tokens} hold {room}"
            )


def _positive(times: FloatArray) -> FloatArray:
    return np.maximum(times, LEAST_S)


def _step(logs: FloatArray | Sequence[float]) -> StepTime:
    base_s, per_token_s, per_cached_token_s = np.exp(logs)
    return StepTime(float(base_s), float(per_token_s), float(per_cached_token_s))


def _start(tables: Sequence[MeasuredRequests], base_share: float) -> list[float]:
    """Logarithms of figures with which that share of a mean step is the base, and half of the rest each what computed
    and what cached tokens take.
    """
    requests = tables[0]
    tokens = requests.laws
    prompt, generated = tokens.input.mean, tokens.output.mean
    at_once = float(requests.times_s[2].sum() / (requests.last_s.max() - requests.queued_s.min()))
    step_s = max(float(np.median(requests.times_s[1])), LEAST_S)
    of_tokens_s = step_s * (1 - base_share) / 2
    per_token_s = of_tokens_s / (at_once * (1 + prompt / generated))
    per_cached_token_s = of_tokens_s / (at_once * (prompt + generated / 2))
    return [math.log(value) for value in (base_share * step_s, per_token_s, per_cached_token_s)]


def _minimise(loss: Callable[[FloatArray], float], start: Sequence[float], most: int) -> list[float]:
    from scipy.optimize import minimize

    simplex = np.vstack([start, np.array(start) + 0.3 * np.eye(len(start))])
    best = minimize(loss, start, method="Nelder-Mead", options={"maxfev": most, "initial_simplex": simplex})
    return [float(value) for value in best.x]


def _errors(simulated: FloatArray, measured: FloatArray) -> Iterator[tuple[str, tuple[float, float, float]]]:
    for name, simulated_s, measured_s in zip(TIMES, simulated, measured, strict=True):
        of_mean = float(simulated_s.mean() / measured_s.mean()) - 1
        of_p90 = float(np.percentile(simulated_s, 90) / np.percentile(measured_s, 90)) - 1
        yield name, (of_mean, of_p90, float(np.abs(_positive(simulated_s) / _positive(measured_s) - 1).mean()))


# ---- writing ----


def as_dict(fit: Fit) -> dict[str, Any]:
    """The fit, JSON-able."""
    keys = ("mean", "p90", "by_request")
    return {
        "step": asdict(fit.model.step),
        "fitted_requests": fit.fitted,
        "judged_requests": fit.judged,
        "errors": {
            table: {time: dict(zip(keys, values, strict=True)) for time, values in errors.items()}
            for table, errors in fit.errors.items()
        },
        "identified": fit.is_identified,
        "others": [asdict(step) for step in fit.others],
    }


def pipeline_text(name: str, fit: Fit, tables: Sequence[MeasuredRequests]) -> str:
    """The text of a pipeline file of one stage, with the variant that was fitted."""
    tokens, step = tables[0].laws, fit.model.step
    sources = " and ".join(requests.name for requests in tables)
    model = fit.model

    def law(tokens: TokenLaw) -> str:
        return f"{{mean: {tokens.mean:.6g}, p99: {tokens.p99:.6g}}}"

    lines = [
        "schema_version: 1",
        "kind: pipeline",
        f"name: {name}",
        f"description: a language model, fitted to requests of {sources}",
        "",
        "provenance:",
        f"  measured: {{kind: measured, source: {sources}}}",
        "  fit:",
        "    kind: calibrated",
        f"    against: the times of {fit.fitted} requests of {sources}",
        "    how: ipa profile fit, which simulates them",
        "  not-measured: {kind: assumed, why: nobody has measured it yet}",
        "",
        "stages:",
        "  - name: answer",
        "    task: answers",
        "    kind: llm",
        f"    tokens: {{input: {law(tokens.input)}, output: {law(tokens.output)}, from: measured}}",
        "    variants:",
        f"      - name: {name}",
        "        accuracy: {value: 1.0, from: not-measured}",
        f"        step: {{{profiles.step_text(step)}, from: fit}}",
        f"        sequences: {model.sequences}",
        f"        kv_blocks: {model.kv_blocks}",
        f"        block_tokens: {model.block_tokens}",
        f"        tokens_per_step: {model.tokens_per_step}",
        f"        gpus: {model.gpus}",
    ]
    return "\n".join(lines) + "\n"

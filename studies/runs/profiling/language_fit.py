"""The step of a language model, fitted to requests that a real engine has served.

Simulated on their arrivals and tokens, they should have the times that were measured. The fit minimises the mean
absolute logarithm of simulated over measured time to first token, time per further token and end-to-end time, over a
part of the requests; the rest judges it. It starts from a regression: whom a request waits for changes from one step
to the next, so that only a search that begins near the best step finds it (Nelder-Mead, in the figures' logarithms).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from ipa import profiles
from ipa.policies import StageConfiguration
from ipa.profiles import LanguageModel, StepTime, TokenLaw
from ipa.sim import FloatArray, RunInput, ServiceTime, StageModel, World, choose_engine, create_engine
from ipa.studies.runs.profiling import step_regression
from ipa.studies.runs.profiling.measured_requests import TIMES, MeasuredRequests
from ipa.studies.scenario import ScenarioError

FIGURES = tuple(field.name for field in fields(StepTime))

MOST_TRIES, MOST_TRIES_OF_OTHERS = 120, 60
"""Simulations per load of each search for the best step, and for one with a figure that is given."""

CORRECTIONS = 10
"""Simulations per load with which the regression's own error is taken away."""

WIDTHS = (0.3, -0.3, 0.1, -0.1, 0.03)
"""How wide the searches begin, each from where the last one ended, in logarithms."""

FACTORS = (0.75, 4 / 3)
"""The other values of each figure, over that of the fit, with which the others are fitted again."""

ALIKE = 0.005
"""How much more the mean error of a time may be for a fit to be as good."""

LEAST_S = 1e-6


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
        return self.served(step).times_s

    def served(self, step: StepTime) -> MeasuredRequests:
        """Its requests, as they have their tokens if steps take so long."""
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
        return replace(self._requests, first_s=log.first_s, last_s=last_s)


# ---- fitting ----


@dataclass(frozen=True, eq=False)
class Fit:
    """A step, and how far its simulated times are off.

    `errors`: for each table and each of `TIMES`, relative to what was measured, of the requests that the fit has not
    seen: of the mean, of the p90, and on average by request. `others`: for each figure, steps with another value of it
    that fit as well, or nearly.
    """

    model: LanguageModel
    loss: float
    fitted: int
    judged: int
    errors: Mapping[str, Mapping[str, tuple[float, float, float]]]
    others: Mapping[str, tuple[StepTime, ...]]

    @property
    def not_identified(self) -> tuple[str, ...]:
        """The figures of the step that the requests do not tell."""
        return tuple(figure for figure, steps in self.others.items() if steps)

    @property
    def is_identified(self) -> bool:
        """Whether the requests tell all figures of the step."""
        return not self.not_identified


def fit(model: LanguageModel, tables: Sequence[MeasuredRequests], part: float) -> Fit:
    """The step of a model, whose own is ignored, with which its simulated requests are most like the measured ones.

    `part`: the share of the requests of each table, the first ones, that is fitted. ScenarioError: too few requests,
    one that does not fit the model's blocks, more at once than the model's sequences, or none that tells a step.
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

    def loss_of(logs: FloatArray) -> float:
        return loss(_step(logs))

    def refitted(figure: int, factor: float) -> StepTime:
        given = logs[figure] + math.log(factor)

        def with_given(rest: FloatArray) -> float:
            return loss_of(np.insert(rest, figure, given))

        regressed = np.log(step_regression.figures(rows, {figure: math.exp(given)}))
        start = min((np.delete(likely, figure) for likely in (logs, regressed)), key=with_given)
        return _step(np.insert(_minimise(with_given, start, WIDTHS[0], MOST_TRIES_OF_OTHERS), figure, given))

    rows = _rows(model, tables, fitted_counts)
    if not any(map(len, rows)):
        names = ", ".join(requests.name for requests in tables)
        raise ScenarioError(
            f"{names}: no fitted request takes time for tokens after its first, or is alone: nothing tells a step"
        )
    logs = min(_starts(model, rows, replicas, fitted_counts), key=loss_of)
    for width in WIDTHS:
        logs = _minimise(loss_of, logs, width, MOST_TRIES)
    step, least = _step(logs), loss(_step(logs))
    others = {
        name: tuple(other for factor in FACTORS if loss(other := refitted(figure, factor)) <= least + ALIKE)
        for figure, name in enumerate(FIGURES)
    }
    errors = {
        requests.name: dict(_errors(replica.times_s(step)[:, count:], requests.times_s[:, count:]))
        for replica, requests, count in zip(replicas, tables, fitted_counts, strict=True)
    }
    judged = sum(len(requests.queued_s) for requests in tables) - sum(fitted_counts)
    return Fit(replace(model, step=step), least, sum(fitted_counts), judged, errors, others)


def _check(model: LanguageModel, tables: Sequence[MeasuredRequests], part: float) -> None:
    for requests in tables:
        count = len(requests.queued_s)
        if min(math.ceil(part * count), count - math.ceil(part * count)) < 10:
            raise ScenarioError(f"{requests.name}: {count} requests, of which {part:g} are fitted: both parts need 10")
        if requests.most_at_once > model.sequences:
            raise ScenarioError(
                f"{requests.name}: {requests.most_at_once} requests are between their first and last token at once; an "
                f"engine with --sequences {model.sequences} never has as many"
            )
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


def _rows(model: LanguageModel, tables: Sequence[MeasuredRequests], counts: Sequence[int]) -> list[FloatArray]:
    return [step_regression.rows(model, requests, count) for requests, count in zip(tables, counts, strict=True)]


def _starts(
    model: LanguageModel, rows: Sequence[FloatArray], replicas: Sequence[SimulatedReplica], counts: Sequence[int]
) -> Iterator[FloatArray]:
    """Logarithms of the regressed figures, and of some with which simulated requests come ever nearer to the same."""
    measured = figures = step_regression.figures(rows)
    yield np.log(figures)
    for _ in range(CORRECTIONS):
        served = [replica.served(StepTime(*figures.tolist())) for replica in replicas]
        simulated = step_regression.figures(_rows(model, served, counts))
        figures = np.clip(figures + measured - simulated, figures / 2, figures * 2)
        yield np.log(figures)


def _minimise(loss: Callable[[FloatArray], float], start: FloatArray, width: float, most: int) -> FloatArray:
    from scipy.optimize import minimize

    simplex = np.vstack([start, start + width * np.eye(len(start))])
    best = minimize(loss, start, method="Nelder-Mead", options={"maxfev": most, "initial_simplex": simplex})
    return np.asarray(best.x)


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
        "not_identified": list(fit.not_identified),
        "others": [asdict(step) for steps in fit.others.values() for step in steps],
    }


def unsure(fit: Fit) -> str:
    """What to add to words on where a step is from: the figures that are not identified."""
    return "" if fit.is_identified else f"; the loads do not identify {' and '.join(fit.not_identified)}"


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
        f"    how: ipa profile fit, which simulates them{unsure(fit)}",
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

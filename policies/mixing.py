"""The base of Loki and InfAdapter: the ways to serve a stage's load by one or two variants, and the best under a limit.

If two variants serve a stage's load, accuracy is greatest when the more accurate one gets all that its replicas
sustain, and the other one the rest. More than two variants are not tried: a stage's problem has two constraints, load
and cores, so an optimum of its relaxation without whole replicas has at most two variants.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, prod
from operator import mul
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from ipa.policies import checks
from ipa.policies.configurations import factors_of, refuse_graph
from ipa.policies.forecasting import ForecastingPolicy
from ipa.policies.goals import ROUNDING, Goal
from ipa.policies.interface import (
    Configuration,
    Decision,
    Memory,
    Observation,
    PolicyError,
    Predictor,
    StageConfiguration,
    mix_of,
)
from ipa.policies.optimiser import Programme, replicas_for
from ipa.policies.predictors import DEFAULT_PREDICTOR, OUTLOOK_PARAMETERS, Outlook

if TYPE_CHECKING:
    from ipa.profiles import Pipeline, Stage, Variant

MIXING_PARAMETERS = (*OUTLOOK_PARAMETERS, "load_margin", "goal")

LEAST_RPS = 1e-9
"""The least planned load, so that every stage keeps a replica."""

HALVINGS = 12
"""Steps of the bisection for the greatest load that fits."""

NO_ACCURACY = "no-accuracy"
"""The rung of an answer that misses the required accuracy."""

MOST_KEPT = 2048
"""The most answers in the cache."""


class Candidate(NamedTuple):
    """A variant with a batch size: how long a batch takes, and what a replica sustains."""

    variant: Variant
    batch: int
    latency_s: float
    throughput_rps: float


class Part(NamedTuple):
    """A variant in a mix."""

    candidate: Candidate
    replicas: int
    share: float


@dataclass(frozen=True, slots=True)
class Option:
    """A way to serve a stage's load, and the mean accuracy of its requests."""

    parts: tuple[Part, ...]
    cores: int
    accuracy: float


def options(candidates: Sequence[Candidate], load_rps: float) -> list[Option]:
    """All ways to serve a load above 0 by one or two of the candidates, which are of different variants."""
    found = []
    for one in candidates:
        alone = replicas_for(load_rps, one.throughput_rps)
        found.append(_option(Part(one, alone, 1.0)))
        for other in candidates:
            if other.variant.accuracy < one.variant.accuracy:
                found += [_pair(one, replicas, other, load_rps) for replicas in range(1, alone)]
    return found


def _pair(one: Candidate, replicas: int, other: Candidate, load_rps: float) -> Option:
    share = replicas * one.throughput_rps / load_rps
    rest = replicas_for((1.0 - share) * load_rps, other.throughput_rps)
    return _option(Part(one, replicas, share), Part(other, rest, 1.0 - share))


def _option(*parts: Part) -> Option:
    return Option(
        parts,
        sum(part.replicas * part.candidate.variant.base_cores for part in parts),
        sum(part.share * part.candidate.variant.accuracy for part in parts),
    )


class Front:
    """The Pareto front of a stage's options: `values` rise with `cores`."""

    def __init__(self, found: Iterable[tuple[Option, float]]) -> None:
        """`found`: options with their values; of equal ones, the fewest cores count."""
        self.options: list[Option] = []
        self.values: list[float] = []
        for option, value in sorted(found, key=lambda pair: (pair[0].cores, -pair[1])):
            if not self.values or value > self.values[-1]:
                self.options.append(option)
                self.values.append(value)
        self.cores = [option.cores for option in self.options]

    def within(self, cores: float) -> int:
        """The number of options with at most this many cores."""
        return bisect_right(self.cores, cores)


class Combination(NamedTuple):
    """An option for each of some stages, and their totals."""

    value: float
    cores: int
    options: Sequence[Option]


def best_of(
    fronts: Sequence[Front],
    limit_cores: float,
    combine: Callable[[float, float], float],
    at_least: float | None = None,
) -> Combination | None:
    """The combination, one option of each front, with the greatest value within the limit; None: there is none.

    With `at_least`, the one of the fewest cores that has at least that value. `combine`: the value of two stages from
    those of each; it rises with both. Of equal values the fewest cores count, of equal cores the greatest value.
    """
    first, *others = fronts
    kept = [
        Combination(first.values[i], first.cores[i], [first.options[i]]) for i in range(first.within(limit_cores))
    ]  # by rising cores and value
    for place, front in enumerate(others):
        made = []
        for value, cores, chosen in kept:
            numbers = range(front.within(limit_cores - cores))
            if place + 1 == len(others):  # the last that fits, or the first that is enough, decides
                enough = numbers.stop - 1
                if at_least is not None:
                    enough = bisect_left(numbers, at_least, key=lambda i: combine(value, front.values[i]))
                numbers = numbers[max(enough, 0) : enough + 1]
            for i in numbers:
                option = front.options[i]
                made.append(Combination(combine(value, front.values[i]), cores + option.cores, [*chosen, option]))
        kept = []
        for each in sorted(made, key=lambda each: (each.cores, -each.value)):
            if not kept or each.value > kept[-1].value:
                kept.append(each)
    if at_least is None:
        return kept[-1] if kept else None
    return next((each for each in kept if each.value >= at_least), None)


def best_way(ways: Iterable[Sequence[Front]], limit_cores: float, at_least: float | None = None) -> Combination | None:
    """The best combination (see `best_of`) of several ways to serve the stages, whose values are accuracies."""
    bounded = []
    for fronts in ways:
        fitting = [front.within(limit_cores) for front in fronts]
        if all(fitting):
            bounded.append((prod(front.values[n - 1] for front, n in zip(fronts, fitting, strict=True)), fronts))
    bounded.sort(key=lambda way: -way[0])
    best: Combination | None = None
    for at_most, fronts in bounded:
        if at_most < (at_least if at_least is not None else best.value if best is not None else 0.0):
            break
        found = best_of(fronts, limit_cores, mul, at_least)
        if found is not None and (best is None or _rank(found, at_least) < _rank(best, at_least)):
            best = found
    return best


def _rank(found: Combination, at_least: float | None) -> tuple[float, float]:
    return (-found.value, found.cores) if at_least is None else (found.cores, -found.value)


class Chosen(NamedTuple):
    """An option for each stage, the rung of the answer, what bound it, and the load that it serves [rps]."""

    options: Sequence[Option]
    rung: str
    binding: str
    served_rps: float


class MixingPolicy(ForecastingPolicy, ABC):
    """A policy that may mix variants within a stage.

    `predictor`: the forecast of the load: a name, {"name": ..., parameters ...} or a Predictor. `quantile`: the
    quantile of the forecast to plan for; None: its point. `horizon_s`: how far the forecast looks; None: 20 s.
    `load_margin`: the planned load is forecast x (1 + margin), rounded; None: the pipeline's. `goal`: an objective in a
    user's terms (see `ipa.policies.goals`); None: the publication's. Each variant in a mix must have the accuracy that
    a goal requires of its stage; the pipeline's accuracy is the mean over requests. Without a forecast (NaN), or
    without samples, the configuration stays (rung "hold"). PolicyError: an impossible value.
    """

    mixes = True
    further_parameters: ClassVar[tuple[str, ...]] = MIXING_PARAMETERS

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        predictor: str | Mapping[str, Any] | Predictor = DEFAULT_PREDICTOR,
        quantile: float | None = None,
        horizon_s: float | None = None,
        load_margin: float | None = None,
        goal: Goal | Mapping[str, Any] | None = None,
    ) -> None:
        if pipeline.graph is not None:
            self.check_graph(pipeline)
        super().__init__(Programme.of(pipeline, goal=goal), Outlook(predictor, quantile, horizon_s), load_margin)
        self._pipeline = pipeline
        self.goal = self.programme.wanted
        if pipeline.pair_accuracies and (self.goal.aim is not None or self.goal.wants_accuracy):
            raise PolicyError(
                f"goal: {pipeline.name} has pair_accuracies, and a mix has the accuracies of single variants alone; "
                "allowed: late_at_most"
            )
        if pipeline.graph is not None and (self.goal.aim is not None or self.goal.wants_accuracy):
            raise PolicyError(
                f"goal: takes chains only with this policy, and the stages of {pipeline.name} form a graph"
            )
        whole = self.goal.accuracy_at_least
        self.least_accuracy = 0.0 if whole is None else (whole - ROUNDING) / 100
        self.met = "accuracy" if self.goal.aim == "cost" and self.goal.wants_accuracy else "none"
        """What binds a plan within all limits: a goal's accuracy, if more of it costs more."""
        self._kept: dict[tuple[object, ...], Chosen] = {}

    @property
    def parameters(self) -> dict[str, Any]:
        """The effective parameters, JSON-able."""
        goal = {} if self.programme.goal is None else {"goal": self.goal.as_dict()}
        return {**self.outlook.parameters, "load_margin": self.load_margin, **goal}

    def check_graph(self, pipeline: Pipeline) -> None:
        """PolicyError for the graph of a pipeline if the policy does not take it."""
        refuse_graph(type(self).__name__.lower(), pipeline)

    @abstractmethod
    def choose(
        self,
        load_rps: float,
        limit_cores: int | None,
        stages: Sequence[Sequence[Variant]],
        loaded: Sequence[frozenset[str]],
    ) -> Chosen:
        """The options for a load above 0. `stages`: the variants that may serve each; `loaded`: those that do now.

        A goal's limit of cores is in `limit_cores`, and what it asks of stages in `stages`.
        """

    def for_goal(self, ways: Sequence[Sequence[Front]], limit_cores: int | None) -> Combination | None:
        """The best for a goal with an aim, or the most accurate where its accuracy is out of reach; None: nothing fits.

        Each way has the stages' options with their accuracies.
        """
        limit = inf if limit_cores is None else limit_cores
        found = best_way(ways, limit, self.least_accuracy) if self.goal.aim == "cost" else None
        return best_way(ways, limit) if found is None else found

    def decide(self, observation: Observation, memory: Memory) -> Decision:
        """The decision for this step. PolicyError: an infinite or negative forecast."""
        forecast_rps, memory = self.forecast(observation, memory)
        if forecast_rps != forecast_rps or observation.is_silent:
            return self.hold(observation, memory)
        forecast_rps = checks.number("forecast_rps", forecast_rps, at_least=0)
        planned_rps = float(round(forecast_rps * (1 + self.load_margin)))
        load_rps = max(planned_rps, LEAST_RPS)
        seen = [observation.stages[stage.name] for stage in self._pipeline.stages]
        failed = tuple(each.failed_variants for each in seen)
        loaded = tuple(frozenset(part.variant for part in each.configuration.parts) for each in seen)
        limit_cores = self.goal.core_limit(observation.limit_cores)
        asked = load_rps, limit_cores, failed, loaded
        chosen = self._kept.get(asked)
        if chosen is None:
            stages = [self._allowed(stage, names) for stage, names in zip(self._pipeline.stages, failed, strict=True)]
            chosen = self._judged(self.choose(load_rps, limit_cores, stages, loaded))
            if len(self._kept) >= MOST_KEPT:
                self._kept.pop(next(iter(self._kept)))
            self._kept[asked] = chosen
        configuration = self._configuration(chosen, load_rps)
        return Decision(
            configuration=configuration,
            memory=memory,
            forecast_rps=forecast_rps,
            planned_load_rps=planned_rps,
            objective=self.programme.score(configuration),
            binding=chosen.binding,
            rung=chosen.rung,
            feasible=chosen.rung == "optimal",
            notes=self._shortfall(chosen, planned_rps),
        )

    def _allowed(self, stage: Stage, failed: Collection[str]) -> list[Variant]:
        """The variants that have not failed to start (all, if every one has) and that a goal allows."""
        standing = [variant for variant in stage.variants if variant.name not in failed] or list(stage.variants)
        return [each for each in standing if self.goal.is_enough_at(stage.name, each.accuracy)] or standing

    def _judged(self, chosen: Chosen) -> Chosen:
        """The answer, with the rung for a goal's accuracy that is not reached."""
        accuracy = prod(option.accuracy for option in chosen.options)
        is_enough = accuracy >= self.least_accuracy and all(
            self.goal.is_enough_at(stage.name, part.candidate.variant.accuracy)
            for stage, option in zip(self._pipeline.stages, chosen.options, strict=True)
            for part in option.parts
        )
        if is_enough or chosen.rung != "optimal":
            return chosen
        return chosen._replace(rung=NO_ACCURACY, binding="accuracy")

    def _shortfall(self, chosen: Chosen, planned_rps: float) -> tuple[str, ...]:
        if not self.goal.wants_accuracy or chosen.rung != NO_ACCURACY:
            return ()
        most = 100 * prod(option.accuracy for option in chosen.options)
        return (f"the goal's accuracy cannot be had for {planned_rps:g} rps within the limits: {most:.4g} is the most",)

    def candidates(
        self, variants: Sequence[Variant], within_s: float, most_batch: int | None = None
    ) -> list[Candidate]:
        """Each variant with the batch size of the greatest throughput whose p99 is at most `within_s`."""
        found = []
        for variant in variants:
            fitting = [each for each in self.sizes(variant, most_batch) if each.latency_s <= within_s]
            if fitting:
                found.append(max(fitting, key=lambda each: (each.throughput_rps, -each.batch)))
        return found

    def sizes(self, variant: Variant, most_batch: int | None = None) -> list[Candidate]:
        """A variant with each power of two as batch size, up to the pipeline's cap."""
        cap = self.programme.batch_cap if most_batch is None else most_batch
        share = self.programme.throughput_share
        return [
            Candidate(variant, batch, variant.p99_s(batch), variant.throughput_rps(batch) * share)
            for batch in variant.planned_batches(cap)
        ]

    def most_served(self, load_rps: float, fits: Callable[[float], Sequence[Option] | None]) -> Chosen | None:
        """The answer for the greatest part of the load that fits; None if not even the least load does."""
        served_rps, beyond_rps = LEAST_RPS, load_rps
        found = fits(served_rps)
        if found is None:
            return None
        for _ in range(HALVINGS):
            middle_rps = (served_rps + beyond_rps) / 2
            more = fits(middle_rps)
            if more is None:
                beyond_rps = middle_rps
            else:
                served_rps, found = middle_rps, more
        return Chosen(found, "most-throughput", "cores", served_rps)

    def _configuration(self, chosen: Chosen, load_rps: float) -> Configuration:
        by_name = dict(zip(self._pipeline.by_name, chosen.options, strict=True))
        variants = {name: option.parts[0].candidate.variant.name for name, option in by_name.items()}
        factors = factors_of(self._pipeline, variants)
        return {
            name: self._of_stage(k, option, load_rps * factors[name])
            for k, (name, option) in enumerate(by_name.items())
        }

    def _of_stage(self, k: int, option: Option, load_rps: float) -> StageConfiguration:
        return mix_of(
            [
                StageConfiguration(
                    variant=part.candidate.variant.name,
                    batch=part.candidate.batch,
                    replicas=part.replicas,
                    batch_timeout_s=self.programme.batch_timeout_s(k, part.candidate.batch, part.share * load_rps),
                    cores=part.candidate.variant.base_cores,
                    share=part.share,
                )
                for part in option.parts
            ]
        )

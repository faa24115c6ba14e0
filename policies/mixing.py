"""What Loki and InfAdapter share: the ways to serve a stage's load by one or two variants, and the best under a limit.

If some cores serve a stage's load by two variants, accuracy is greatest when the more accurate one gets all that its
replicas sustain, and the other one the rest. More than two variants are not tried: a stage's problem has two
constraints, load and cores, so that an optimum of its relaxation without whole replicas has at most two.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from ipa.policies import checks
from ipa.policies.interface import (
    Configuration,
    Decision,
    Histories,
    Memory,
    Observation,
    Predictor,
    StageConfiguration,
    mix_of,
)
from ipa.policies.optimiser import Programme, replicas_for
from ipa.policies.predictors import DEFAULT_PREDICTOR, OUTLOOK_PARAMETERS, Outlook

if TYPE_CHECKING:
    from ipa.profiles import Pipeline, Stage, Variant

MIXING_PARAMETERS = (*OUTLOOK_PARAMETERS, "load_margin")

LEAST_RPS = 1e-9
"""The least load that is planned for, so that every stage keeps a replica."""

HALVINGS = 12
"""How often the load is halved between what fits and what does not, to find the most that fits."""

MOST_KEPT = 2048
"""How many answers are kept."""


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
    """The options of a stage that nothing is better than, by cores: `value` rises with them.

    `best[c]` is the number of the best option with at most c cores, -1 if there is none.
    """

    def __init__(self, found: Iterable[tuple[Option, float]], limit_cores: int) -> None:
        """`found`: options with their values; of equal ones, the fewest cores count."""
        self.options: list[Option] = []
        self.values: list[float] = []
        for option, value in sorted(found, key=lambda pair: (pair[0].cores, -pair[1])):
            if option.cores <= limit_cores and (not self.values or value > self.values[-1]):
                self.options.append(option)
                self.values.append(value)
        self.best = [-1] * (limit_cores + 1)
        for number, option in enumerate(self.options):
            self.best[option.cores :] = [number] * (limit_cores + 1 - option.cores)


def best_of(
    fronts: Sequence[Front], limit_cores: int, combine: Callable[[float, float], float]
) -> tuple[float, list[Option]] | None:
    """The combination, one option of each front, with the greatest value within the limit; None: there is none.

    `combine`: the value of two stages from those of each; it rises with both. Of equal ones, the fewest cores count.
    """
    first, *others = fronts
    # (value, cores, chosen), by rising cores and value
    kept = [(value, option.cores, [option]) for option, value in zip(first.options, first.values, strict=True)]
    for place, front in enumerate(others):
        is_last = place + 1 == len(others)
        made = []
        for value, cores, chosen in kept:
            left = limit_cores - cores
            top = front.best[left] if left >= 0 else -1
            for number in range(top + 1) if not is_last else range(max(top, 0), top + 1):
                option = front.options[number]
                made.append((combine(value, front.values[number]), cores + option.cores, [*chosen, option]))
        kept = []
        for each in sorted(made, key=lambda each: (each[1], -each[0])):
            if not kept or each[0] > kept[-1][0]:
                kept.append(each)
    return (kept[-1][0], kept[-1][2]) if kept else None


class Chosen(NamedTuple):
    """An option for each stage, the rung of the answer, what bound it, and the load that it serves [rps]."""

    options: Sequence[Option]
    rung: str
    binding: str
    served_rps: float


class MixingPolicy(ABC):
    """A policy that may mix variants within a stage.

    `predictor`: the forecast of the load: a name, {"name": ..., parameters ...} or a Predictor. `quantile`: the share
    of cases in which the load is to stay below the forecast; None: the predictor's point forecast. `horizon_s`: how
    far the forecast looks; None: 20 s. `load_margin`: the planned load is forecast x (1 + margin), rounded; None: the
    pipeline's. Without a forecast (NaN), or if nothing has been sampled, the configuration stays (rung "hold").
    PolicyError: an impossible value.
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
    ) -> None:
        margin = pipeline.defaults.load_margin if load_margin is None else load_margin
        self._pipeline = pipeline
        self.programme = Programme.of(pipeline)
        self.outlook = Outlook(predictor, quantile, horizon_s)
        self.load_margin = checks.number("load_margin", margin, above=-1)
        self._kept: dict[tuple[object, ...], Chosen] = {}

    @property
    def reads(self) -> tuple[str, ...]:
        """The costly fields that the predictor needs."""
        return self.outlook.reads

    @property
    def parameters(self) -> dict[str, Any]:
        """The effective parameters, JSON-able."""
        return {**self.outlook.parameters, "load_margin": self.load_margin}

    def compute_ahead(self, histories: Histories) -> None:
        """Make the forecasts for these `load_rps` at once; see `Outlook.compute_ahead`."""
        self.outlook.compute_ahead(histories)

    @abstractmethod
    def choose(
        self,
        load_rps: float,
        limit_cores: int | None,
        stages: Sequence[Sequence[Variant]],
        loaded: Sequence[frozenset[str]],
    ) -> Chosen:
        """The options for a load above 0. `stages`: the variants that may serve each; `loaded`: those that do now."""

    def decide(self, observation: Observation, memory: Memory) -> Decision:
        """The decision for this step. PolicyError: an infinite or negative forecast."""
        forecast_rps = self.outlook.rps(observation)
        if forecast_rps != forecast_rps or observation.is_silent:
            return self._hold(observation, memory)
        forecast_rps = checks.number("forecast_rps", forecast_rps, at_least=0)
        planned_rps = float(round(forecast_rps * (1 + self.load_margin)))
        load_rps = max(planned_rps, LEAST_RPS)
        seen = [observation.stages[stage.name] for stage in self._pipeline.stages]
        failed = tuple(each.failed_variants for each in seen)
        loaded = tuple(frozenset(part.variant for part in each.configuration.parts) for each in seen)
        asked = load_rps, observation.limit_cores, failed, loaded
        chosen = self._kept.get(asked)
        if chosen is None:
            stages = [_standing(stage, names) for stage, names in zip(self._pipeline.stages, failed, strict=True)]
            chosen = self.choose(load_rps, observation.limit_cores, stages, loaded)
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
        )

    def candidates(
        self, variants: Sequence[Variant], within_s: float, most_batch: int | None = None
    ) -> list[Candidate]:
        """Each variant with the batch that sustains most, of those that take at most `within_s` (p99)."""
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
            for batch in variant.batches()
            if batch <= cap and batch & (batch - 1) == 0
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
        return {
            stage.name: self._of_stage(k, option, load_rps)
            for k, (stage, option) in enumerate(zip(self._pipeline.stages, chosen.options, strict=True))
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

    def _hold(self, observation: Observation, memory: Memory) -> Decision:
        configuration = observation.configuration
        objective = self.programme.score(configuration)
        return Decision(
            configuration, memory, objective=objective, binding="none", rung="hold", notes=("no load sample",)
        )


def _standing(stage: Stage, failed: Collection[str]) -> list[Variant]:
    """The variants that have not failed to start; all, if every one has."""
    return [variant for variant in stage.variants if variant.name not in failed] or list(stage.variants)

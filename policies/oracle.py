"""Oracle: IPA with a known future, as a bound on what a policy can achieve with the programme. Only for simulation.

It needs no margins. It plans with the whole profiled throughput, for the lowest service rate at which no coming request
waits too long; that is below the load of the busiest second, because a queue smooths it. It looks ahead until the
replicas of the *next* decision can be ready: the interval, the decision delay and the longest start-up from now. It
changes variants only when that pays off: once keeping them has lost as much as the new replicas cost that start beside
the old ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from math import ceil, nan
from typing import TYPE_CHECKING, Any

from ipa.policies import checks
from ipa.policies.configurations import LEAST_FACTOR, carried_rps, factors_of
from ipa.policies.interface import Decision, Histories, Memory, Observation, PolicyError, Predictor
from ipa.policies.ipa import PLANNING_PARAMETERS, OptimisingPolicy, decision_from_solution
from ipa.policies.optimiser import Problem, Solution
from ipa.policies.predictors import DEFAULT_PREDICTOR, OUTLOOK_PARAMETERS

if TYPE_CHECKING:
    from ipa.profiles import Pipeline

MOST = 3.0
"""What waits behind a branch requires at most this multiple of the load to come."""


class Oracle(OptimisingPolicy):
    """IPA (Inference Pipeline Adaptation, JSys 2024) with the true load in place of a forecast.

    `wait_share`: the share of the SLA that requests may spend in queues during bursts; the rest is for service.
    `interval_s`: the time between decisions, used by the first one only; later ones use the time since the previous
    one. `decision_delay_s`: the time from a decision until it takes effect. Both default to the scenario's.
    `price_of_change`: a factor on the assumed cost of a change of variants; 0: change as soon as it gains anything.
    `stand_in`: a predictor in place of the true future, whose forecast stands for every second to come; None: the true
    future. `stand_in_quantile`: the quantile of that forecast; None: its point. `stand_in_horizon_s`: how far it looks;
    None: 20 s. The defaults of `load_margin`, `rounding` and `throughput_share` plan without a margin. For other
    parameters except those of the forecast see `OptimisingPolicy`. PolicyError: without a stand-in, an observation that
    has no `future_rps`, as outside a simulation.
    """

    further_parameters = tuple(name for name in PLANNING_PARAMETERS if name not in OUTLOOK_PARAMETERS)
    facts = ("interval_s", "decision_delay_s")

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        wait_share: float = 0.25,
        interval_s: float = 10.0,
        decision_delay_s: float = 0.0,
        price_of_change: float = 1.0,
        stand_in: str | Mapping[str, Any] | Predictor | None = None,
        stand_in_quantile: float | None = None,
        stand_in_horizon_s: float | None = None,
        load_margin: float = 0.0,
        rounding: str = "none",
        throughput_share: float = 1.0,
        sla_s: float | None = None,
        **planning: Any,
    ) -> None:
        checks.known("parameter", planning, self.further_parameters)
        self.wait_share = checks.number("wait_share", wait_share, above=0, at_most=0.9)
        self.interval_s = checks.number("interval_s", interval_s, above=0)
        self.decision_delay_s = checks.number("decision_delay_s", decision_delay_s, at_least=0)
        self.price_of_change = checks.number("price_of_change", price_of_change, at_least=0)
        self.knows_future = stand_in is None
        self.sla_s = pipeline.sla_s if sla_s is None else checks.number("sla_s", sla_s, above=0)
        self.wait_s = self.wait_share * self.sla_s
        super().__init__(
            pipeline,
            predictor=DEFAULT_PREDICTOR if stand_in is None else stand_in,
            quantile=stand_in_quantile,
            horizon_s=stand_in_horizon_s,
            load_margin=load_margin,
            rounding=rounding,
            throughput_share=throughput_share,
            sla_s=self.sla_s - self.wait_s,
            **planning,
        )
        if self.programme.wanted.late_at_most is not None and self.knows_future:
            raise PolicyError("goal.late_at_most: what is known is never late by surprise; leave it out")

    @property
    def reads(self) -> tuple[str, ...]:
        """The future, or what the predictor needs in its place."""
        return ("future_rps",) if self.knows_future else super().reads

    @property
    def parameters(self) -> dict[str, Any]:
        """The effective parameters, JSON-able."""
        outlook = dict.fromkeys(OUTLOOK_PARAMETERS) if self.knows_future else self.outlook.parameters
        own = {key: getattr(self, key) for key in ("wait_share", "interval_s", "decision_delay_s", "price_of_change")}
        stand_in = {
            "stand_in": outlook["predictor"],
            "stand_in_quantile": outlook["quantile"],
            "stand_in_horizon_s": outlook["horizon_s"],
        }
        return {**own, **stand_in, **self.planning, "sla_s": self.sla_s}

    def compute_ahead(self, histories: Histories) -> None:
        """As for the others; nothing where the future is known."""
        if not self.knows_future:
            super().compute_ahead(histories)

    def problems(self, observation: Observation, forecast_rps: float) -> Iterator[Problem]:
        """As for the others; then the one in which the variants stay."""
        for problem in super().problems(observation, forecast_rps):
            yield problem
            yield problem.with_variants(observation.configuration)

    def decide(self, observation: Observation, memory: Memory) -> Decision:
        """The decision for this step. PolicyError: no future in the observation, or a solver that cannot answer."""
        since_s = observation.time_s - memory.get("time_s", observation.time_s)
        interval_s = since_s if since_s > 0 else self.interval_s
        horizon_s = max(1, ceil(interval_s + self.decision_delay_s + self.start_up_s))
        present = _present(observation, memory.get("present", {}))
        load_rps, most_rps = self._needed_rps(observation, present, self._to_come(observation, horizon_s))
        problem = self.problem(observation, load_rps)
        if problem is None:
            return self.hold(observation, memory)
        now = {**memory, "time_s": observation.time_s, "present": present, "lost": 0.0}
        free = self.answers.solve(problem)
        if "time_s" not in memory:
            return self._decided(observation, free, now, (load_rps, most_rps))
        kept = self.answers.solve(problem.with_variants(observation.configuration))
        gain = max(free.objective["total"] - kept.objective["total"], 0.0)
        lost = memory["lost"] + gain * interval_s
        price = self.price_of_change * self.price_of_starting(observation.configuration, free.configuration)
        if kept.feasible and lost < price:
            return self._decided(observation, kept, {**now, "lost": lost}, (load_rps, most_rps))
        return self._decided(observation, free, now, (load_rps, most_rps))

    def _decided(
        self, observation: Observation, found: Solution, memory: Memory, rates_rps: tuple[float, float]
    ) -> Decision:
        """A plan, with more replicas of the same variants where what waits behind a branch requires the second rate."""
        load_rps, most_rps = rates_rps
        problem = self.problem(observation, most_rps)
        assert problem is not None
        if most_rps > load_rps:
            swollen = self.answers.solve(problem.with_variants(found.configuration))
            found = swollen if swollen.feasible else found
        return decision_from_solution(found, memory, load_rps, problem.load_rps)

    def _needed_rps(
        self, observation: Observation, present: Mapping[str, int], to_come: Sequence[float]
    ) -> tuple[float, float]:
        """The rate at which the requests waiting, at the stage where most do, and those to come are served in time.

        In a graph, those wait whose items do. A stage that only some requests reach is planned for these alone: if more
        waits there than one replica serves in time, it counts as the requests that bring so many items, up to `MOST`
        times the load to come. That is the second rate; else it is the first.
        """
        items = {name: present[name] - stage.in_service for name, stage in observation.stages.items()}
        pipeline = self.programme.pipeline
        if pipeline.graph is None:
            return (sustained_rps(to_come, max(*items.values(), 0), self.wait_s),) * 2
        variants = {name: each.variant for name, each in observation.configuration.items()}
        factors = {name: max(each, LEAST_FACTOR) for name, each in factors_of(pipeline, variants).items()}
        waiting, behind = 0.0, 0.0
        for name, count in items.items():
            waiting = max(waiting, count / max(factors[name], 1.0))
            if count / factors[name] > self.wait_s * carried_rps(pipeline.stage(name), factors[name]):
                behind = max(behind, count / factors[name])
        found_rps = sustained_rps(to_come, ceil(waiting), self.wait_s)
        if behind <= waiting:
            return found_rps, found_rps
        most_rps = MOST * sustained_rps(to_come, 0, self.wait_s)
        return found_rps, max(found_rps, min(sustained_rps(to_come, ceil(behind), self.wait_s), most_rps))

    def _to_come(self, observation: Observation, seconds: int) -> tuple[float, ...]:
        """The load of the seconds to come, as it will be or as it is forecast."""
        if not self.knows_future:
            return (self.outlook.rps(observation),) * seconds
        if observation.future_rps is None:
            raise PolicyError("the policy 'oracle' needs future_rps, which only a simulation has")
        return observation.future_rps[:seconds]


def _present(observation: Observation, before: Mapping[str, int]) -> dict[str, int]:
    """Stage -> the requests that are there, wherever they wait."""
    return {
        name: before.get(name, 0) + stage.arrivals - stage.completions - stage.drops - stage.failures
        for name, stage in observation.stages.items()
    }


def sustained_rps(load_rps: Sequence[float], waiting: int, wait_s: float) -> float:
    """The least rate of service at which no request waits longer than `wait_s`; NaN without a sample.

    `load_rps`: counts of the seconds to come, soonest first; `waiting` requests are there already. In any run of
    consecutive seconds, all requests must be served by `wait_s` after the last one begins, when all may have arrived.
    """
    counts = [count for count in load_rps if count == count]
    if not counts:
        return nan
    counts[0] += waiting
    return max(
        total / (seconds + wait_s)
        for first in range(len(counts))
        for seconds, total in enumerate(accumulate(counts[first:]))
    )

"""Oracle: IPA with a known future, as a reference for what others achieve. Only for simulation.

It needs no margins. It plans with the whole profiled throughput, for the lowest service rate at which no coming request
waits too long; that is below the load of the busiest second, because a queue smooths it. It looks ahead until the
replicas of the *next* decision can be ready: the interval, the decision delay and the longest start-up from now. It
changes variants only when that pays off: once keeping them has lost as much as the new replicas cost that start beside
the old ones.

Some of what suits a load shows in the run alone: how long requests may wait, what is to spare for those that come
together within a second, and whether changes, which lose capacity while they last, are worth it. A simulation tries
several of each and keeps the best (`ipa.studies.runs.hindsight`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from math import ceil, nan
from typing import TYPE_CHECKING, Any

from ipa.policies import checks
from ipa.policies.configurations import factors_of
from ipa.policies.interface import Decision, Histories, Memory, Observation, PolicyError, Predictor
from ipa.policies.ipa import PLANNING_PARAMETERS, OptimisingPolicy, decision_from_solution
from ipa.policies.optimiser import Problem
from ipa.policies.predictors import DEFAULT_PREDICTOR, OUTLOOK_PARAMETERS

if TYPE_CHECKING:
    from ipa.profiles import Pipeline


class Oracle(OptimisingPolicy):
    """IPA (Inference Pipeline Adaptation, JSys 2024) with the true load in place of a forecast.

    `wait_share`: the share of the SLA that requests may spend in queues during bursts; the rest is for service.
    `load_margin`: the share of the needed rate that is planned in addition. `steady`: whether one plan stays, that for
    the load's busiest minute. Where these three are None, a simulation finds them in hindsight, as well as whether to
    keep the variants of one of the pipeline's `scale_only`; elsewhere they are 0.25, 0 and false. `interval_s`: the
    time between decisions, used by the first one only; later ones use the time since the previous one.
    `decision_delay_s`: the time from a decision until it takes effect. Both default to the scenario's.
    `price_of_change`: a factor on the assumed cost of a change of variants; 0: change as soon as it gains anything.
    `stand_in`: a predictor in place of the true future, whose forecast stands for every second to come; None: the true
    future. `stand_in_quantile`: the quantile of that forecast; None: its point. `stand_in_horizon_s`: how far it looks;
    None: 20 s. The defaults of `rounding` and `throughput_share` plan without a margin. For other parameters except
    those of the forecast see `OptimisingPolicy`. PolicyError: without a stand-in, an observation that has no
    `future_rps`, as outside a simulation.
    """

    further_parameters = tuple(name for name in PLANNING_PARAMETERS if name not in OUTLOOK_PARAMETERS)
    facts = ("interval_s", "decision_delay_s")

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        wait_share: float | None = None,
        steady: bool | None = None,
        interval_s: float = 10.0,
        decision_delay_s: float = 0.0,
        price_of_change: float = 1.0,
        stand_in: str | Mapping[str, Any] | Predictor | None = None,
        stand_in_quantile: float | None = None,
        stand_in_horizon_s: float | None = None,
        load_margin: float | None = None,
        rounding: str = "none",
        throughput_share: float = 1.0,
        sla_s: float | None = None,
        **planning: Any,
    ) -> None:
        checks.known("parameter", planning, self.further_parameters)
        share = 0.25 if wait_share is None else wait_share
        self.wait_share = checks.number("wait_share", share, at_least=0, at_most=0.9)
        self.steady = checks.flag("steady", False if steady is None else steady)
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
            load_margin=0.0 if load_margin is None else load_margin,
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
        if not self.knows_future:
            return super().reads
        return ("peak_rps" if self.steady else "future_rps",)

    @property
    def parameters(self) -> dict[str, Any]:
        """The effective parameters, JSON-able."""
        outlook = dict.fromkeys(OUTLOOK_PARAMETERS) if self.knows_future else self.outlook.parameters
        keys = ("wait_share", "steady", "interval_s", "decision_delay_s", "price_of_change")
        stand_in = {
            "stand_in": outlook["predictor"],
            "stand_in_quantile": outlook["quantile"],
            "stand_in_horizon_s": outlook["horizon_s"],
        }
        return {**{key: getattr(self, key) for key in keys}, **stand_in, **self.planning, "sla_s": self.sla_s}

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
        waiting = 0 if self.steady else self._waiting(observation, present)
        load_rps = sustained_rps(self._to_come(observation, horizon_s), waiting, self.wait_s)
        problem = self.problem(observation, load_rps)
        if problem is None:
            return self.hold(observation, memory)
        now = {**memory, "time_s": observation.time_s, "present": present, "lost": 0.0}
        best = self.answers.solve(problem)
        if "time_s" in memory:
            unchanged = self.answers.solve(problem.with_variants(observation.configuration))
            gain = max(best.objective["total"] - unchanged.objective["total"], 0.0)
            lost = memory["lost"] + gain * interval_s
            price = self.price_of_change * self.price_of_starting(observation.configuration, best.configuration)
            if unchanged.feasible and lost < price:
                best, now["lost"] = unchanged, lost
        return decision_from_solution(best, now, load_rps, problem.load_rps)

    def _waiting(self, observation: Observation, present: Mapping[str, int]) -> int:
        """The requests that wait at the stage where most do, without what the ready replicas take next.

        In a graph, those whose items wait there; where items are fewer than requests, as many as there are items.
        """
        variants = {name: stage.variant for name, stage in observation.configuration.items()}
        factors = factors_of(self.programme.pipeline, variants)
        waiting = 0.0
        for name, stage in observation.stages.items():
            ready = sum(counts.ready for counts in stage.replicas.values())
            items = present[name] - stage.in_service - ready * stage.configuration.batch
            waiting = max(waiting, items / max(factors[name], 1.0))
        return ceil(waiting)

    def _to_come(self, observation: Observation, seconds: int) -> tuple[float, ...]:
        """The load of the seconds to come: as it will be, as it is in its busiest minute, or as it is forecast."""
        if not self.knows_future:
            return (self.outlook.rps(observation),) * seconds
        if self.steady and observation.peak_rps is not None:
            return (observation.peak_rps,) * seconds
        if self.steady or observation.future_rps is None:
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

    `load_rps`: counts of the seconds to come, soonest first, each spread evenly over its second; `waiting` requests are
    there already. In any run of consecutive seconds, all requests must be served by `wait_s` after its end.
    """
    counts = [count for count in load_rps if count == count]
    if not counts:
        return nan
    counts[0] += waiting
    return max(
        total / (seconds + wait_s)
        for first in range(len(counts))
        for seconds, total in enumerate(accumulate(counts[first:]), 1)
    )

"""The policy: IPA's programme for the lowest rate that past risk allows, and for the backlog; variants change when that
pays off."""

from __future__ import annotations

from dataclasses import replace
from math import isfinite, log2
from typing import TYPE_CHECKING, Any

import numpy as np

from ipa.policies import checks
from ipa.policies.configurations import carried_rps
from ipa.policies.foresight.backlog import factors_now, noted, required_rps
from ipa.policies.foresight.forecast import (
    FALLING,
    LONG_S,
    RISING,
    STEADY,
    Level,
    Prior,
    Reach,
    learnt,
    level_now,
    multiple,
)
from ipa.policies.foresight.memory import Remembered, clock_s
from ipa.policies.interface import Decision, Memory, Observation, StageObservation
from ipa.policies.ipa import PLANNING_PARAMETERS, OptimisingPolicy, decision_from_solution
from ipa.policies.lateness import level_and_memory
from ipa.policies.optimiser import Problem, Solution
from ipa.policies.predictors import OUTLOOK_PARAMETERS

if TYPE_CHECKING:
    from ipa.profiles import Pipeline

DISPATCHES = ("central", "eager")
LATENCY_SHARE = 0.63
"""Share of the SLA planned for service; the rest absorbs queueing."""
WAIT_SHARE = 0.9
"""Share of the SLA within which arriving requests must be served."""
HALVED_S, HALVED_LEADS = 20.0, 2.0
"""A planned rate at most halves in this time, or in this many leads if that is longer: replicas that are removed too
early have to be started again."""

MADE_SHARE = 0.5
"""A load that is m times the usual one has made a factor of m to this power of any rise that starts from there."""
SOON_S = 30.0
"""Rises start from the usual load where replicas of the next decision help so soon."""

DOUBLED_IN = 17
"""Planned rates are rounded to steps of 4 %, 17 to a doubling, so that one more request seldom changes a plan."""
STAYS_WITHIN = 0.05
"""A planned rate is kept if the new one is lower by at most this share."""
LEAST_OF_RISK = 0.1
"""Share of the risk that a plan still takes once the hour's allowance by a goal is used up."""


class Foresight(OptimisingPolicy):
    """IPA's programme for the least rate that past risk allows.

    `risk`: the share of requests that may be late. `rise`: the factor by which the load may rise at once, as assumed
    before the load is known. `rise_every_h`: the hours assumed between two such rises. `prior_h`: the hours without a
    rise after which it is assumed half as likely. `interval_s`: the time between decisions, used by the first one only.
    `decision_delay_s`: the time from a decision until it takes effect. `dispatch`: "central" (pull) or "eager" (push).
    These three default to the scenario's. The defaults of `load_margin`, `rounding` and `throughput_share` plan without
    a margin. A goal's `late_at_most`, less the requests late within the hour, bounds `risk`. For other parameters
    except those of the forecast see `OptimisingPolicy`. PolicyError: an impossible value.
    """

    further_parameters = tuple(name for name in PLANNING_PARAMETERS if name not in OUTLOOK_PARAMETERS)
    reads: tuple[str, ...] = ("past_rps",)
    facts = ("interval_s", "decision_delay_s", "dispatch")

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        risk: float = 0.002,
        rise: float = 3.0,
        rise_every_h: float = 0.5,
        prior_h: float = 2.0,
        interval_s: float = 10.0,
        decision_delay_s: float = 0.0,
        dispatch: str = "central",
        load_margin: float = 0.0,
        rounding: str = "none",
        throughput_share: float = 1.0,
        sla_s: float | None = None,
        **planning: Any,
    ) -> None:
        checks.known("parameter", planning, self.further_parameters)
        self.risk = checks.number("risk", risk, above=0, at_most=1)
        self.rise = checks.number("rise", rise, at_least=1)
        self.rise_every_h = checks.number("rise_every_h", rise_every_h, above=0)
        self.prior_h = checks.number("prior_h", prior_h, above=0)
        self.interval_s = checks.number("interval_s", interval_s, above=0)
        self.decision_delay_s = checks.number("decision_delay_s", decision_delay_s, at_least=0)
        self.dispatch = checks.choice("dispatch", dispatch, DISPATCHES)
        self.sla_s = pipeline.sla_s if sla_s is None else checks.number("sla_s", sla_s, above=0)
        super().__init__(
            pipeline,
            load_margin=load_margin,
            rounding=rounding,
            throughput_share=throughput_share,
            sla_s=LATENCY_SHARE * self.sla_s,
            **planning,
        )
        self._own_risk = self.risk
        self._late_at_most = self.programme.wanted.late_at_most
        if self._late_at_most is not None:
            self.risk, self.reads = min(self.risk, self._late_at_most), (*self.reads, "latency")
        self._pipeline = pipeline
        self._ipa_factor = (1 + pipeline.defaults.load_margin) / pipeline.defaults.throughput_share
        self._prior = Prior(self.rise, 3600 * self.rise_every_h, 3600 * self.prior_h)

    @property
    def _lead_s(self) -> float:
        """The time from a decision until its replicas serve [s].

        The delay counts in whole seconds, as loads do: the milliseconds that a machine takes to decide are no other
        world.
        """
        return round(self.decision_delay_s) + self.start_up_s

    @property
    def parameters(self) -> dict[str, Any]:
        """The effective parameters, JSON-able."""
        own = ("risk", "rise", "rise_every_h", "prior_h", *self.facts)
        return {**{key: getattr(self, key) for key in own}, **self.planning, "sla_s": self.sla_s}

    def decide(self, observation: Observation, memory: Memory) -> Decision:
        """The decision for this step. PolicyError: a solver that cannot answer."""
        before = Remembered.of(memory)
        observation = self._as_decided(observation, before)
        load = np.array(observation.load_rps, float)
        if observation.is_silent or not np.isfinite(load[-60:]).any():
            return self.hold(observation, memory)
        risk = self.risk
        if self._late_at_most is not None:
            graph = self._pipeline.graph
            quantile, memory = level_and_memory(self._late_at_most, self.sla_s, observation, memory, graph)
            risk = max(min(1.0 - quantile, self.risk), LEAST_OF_RISK * self.risk)
        step_s = round(observation.elapsed_s, 1) or self.interval_s  # a live step comes some milliseconds late
        reach = Reach(step_s, self._lead_s, WAIT_SHARE * self.sla_s, self.dispatch == "eager")
        past = np.array(observation.past_rps or (), float)
        remembered = learnt(before, load, past, clock_s(observation, before), reach)
        stages = {
            stage.name: noted(stage, observation.stages[stage.name], remembered.stages.get(stage.name), step_s)
            for stage in self._pipeline.stages
        }
        level = level_now(load, remembered.slow_rps)
        held_rps = remembered.held_rps * 0.5 ** (step_s / max(HALVED_S, HALVED_LEADS * self._lead_s))
        allowed_rps = self._allowed_rps(observation, remembered, level, reach, risk)
        held_rps = max(allowed_rps, level.medium_rps, held_rps)
        slowest = min(stage_memory.reaches for stage_memory in stages.values())
        lasting_rps = stepped(held_rps / slowest, remembered.planned_rps)
        need_rps = lasting_rps
        if observation.elapsed_s:
            waiting_rps = required_rps(self._pipeline, stages, observation, level, reach, self.sla_s)
            need_rps = max(need_rps, stepped(waiting_rps / slowest))
        lost, decision = self._planned(observation, memory, remembered.lost, lasting_rps, need_rps, step_s)
        remembered = replace(remembered, stages=stages, held_rps=held_rps, planned_rps=lasting_rps, lost=lost)
        return replace(decision, memory=replace(remembered, decided=decision.configuration).into(decision.memory))

    def _as_decided(self, observation: Observation, before: Remembered | None) -> Observation:
        """What was decided and has not taken effect yet counts as if it had."""
        if before is None or not before.decided or observation.elapsed_s >= self.decision_delay_s:
            return observation
        stages = {
            name: replace(stage, configuration=before.decided[name]) for name, stage in observation.stages.items()
        }
        return replace(observation, stages=stages)

    def _allowed_rps(
        self, observation: Observation, remembered: Remembered, level: Level, reach: Reach, risk: float
    ) -> float:
        """The lowest rate that the risk allows [rps].

        Where help comes soon and all of the last minute was seen, rises start from the usual load, and what the past
        does not prove asks for no more than IPA would plan for, unless a goal allows less than `risk`.
        """
        is_soon = reach.ahead_s <= SOON_S and np.isfinite(observation.load_rps[-LONG_S:]).all()
        is_above = bool(is_soon) and level.kind != RISING and level.level_rps > remembered.usual_rps > 0
        risen = (level.level_rps / remembered.usual_rps) ** MADE_SHARE if is_above else 1.0
        reserve_rps = multiple(remembered, level.kind, reach, risk, self._prior, risen) * level.level_rps
        rose_after_fall = level.kind == FALLING and bool(remembered.tallies[FALLING].late)
        if not is_soon or rose_after_fall or risk < self._own_risk:
            return reserve_rps
        without_prior = replace(self._prior, rise=1.0)
        if level.kind == FALLING:
            proven_rps = multiple(remembered, STEADY, reach, risk, without_prior) * level.medium_rps
        else:
            proven_rps = multiple(remembered, level.kind, reach, risk, without_prior, risen) * level.level_rps
        ipa_rps = self._ipa_factor * self.outlook.rps(observation)
        allowed_rps = min(reserve_rps, max(ipa_rps, proven_rps)) if isfinite(ipa_rps) else reserve_rps
        if is_above and level.kind != FALLING:  # little reserve is left: the trend takes its place
            allowed_rps = max(allowed_rps, level.grown_rps(reach.step_s + reach.lead_s - reach.wait_s))
        return allowed_rps

    def _planned(
        self,
        observation: Observation,
        memory: Memory,
        lost: float | None,
        lasting_rps: float,
        need_rps: float,
        step_s: float,
    ) -> tuple[float, Decision]:
        """The best plan for these rates, or the best with the current variants until keeping them has lost as much as
        the new replicas cost that start beside the old ones; and what keeping them has lost."""
        problem = self._posed(observation, need_rps)
        best = self._best(problem, lasting_rps)
        if lost is not None:
            unchanged = self.answers.solve(problem.with_variants(observation.configuration))
            gain = best.objective["total"] - unchanged.objective["total"]
            lost = lost + gain * step_s if gain > 0 else 0.0
            is_paid = lost >= self.price_of_starting(observation.configuration, best.configuration)
            if unchanged.feasible and (not is_paid or self._is_busy(observation, lasting_rps)):
                decision = decision_from_solution(unchanged, memory, lasting_rps, need_rps)
                return lost, with_starting(decision, observation)
        return 0.0, decision_from_solution(best, memory, lasting_rps, need_rps)

    def _best(self, problem: Problem, lasting_rps: float) -> Solution:
        """The plan for the problem's load, with the variants of the best plan for the lasting rate: a short backlog
        does not justify a rollout of other models."""
        if problem.load_rps > lasting_rps:
            lasting = self.answers.solve(replace(problem, load_rps=lasting_rps))
            swollen = self.answers.solve(problem.with_variants(lasting.configuration))
            if swollen.feasible:
                return swollen
        return self.answers.solve(problem)

    def _is_busy(self, observation: Observation, lasting_rps: float) -> bool:
        """Whether replicas are starting, or the backlog is longer than plans allow for: a change of variants removes
        old replicas before all new ones serve."""
        factors = factors_now(self._pipeline, observation)
        may_wait_s = (1 - LATENCY_SHARE) * self.sla_s
        waits = any(
            observation.stages[name].queue_length / factor
            > may_wait_s * max(lasting_rps, carried_rps(self._pipeline.stage(name), factor))
            for name, factor in factors.items()
        )
        return waits or any(map(_is_starting, observation.stages.values()))


def stepped(rate_rps: float, before_rps: float = 0.0) -> float:
    """The rate rounded to a step; the previous rate if that is higher by at most `STAYS_WITHIN`."""
    step_rps = 2.0 ** (round(DOUBLED_IN * log2(rate_rps)) / DOUBLED_IN) if rate_rps > 0 else rate_rps
    return before_rps if (1 - STAYS_WITHIN) * before_rps <= step_rps <= before_rps else step_rps


def with_starting(decision: Decision, observation: Observation) -> Decision:
    """The decision, with no fewer replicas at stages where some are starting: a rollout removes those first."""
    if observation.limit_cores is not None or observation.limit_gpus is not None:
        return decision
    configuration = dict(decision.configuration)
    for name, stage in observation.stages.items():
        planned, at_hand = configuration[name], stage.configuration
        if _is_starting(stage) and planned.variant == at_hand.variant and planned.replicas < at_hand.replicas:
            configuration[name] = replace(planned, replicas=at_hand.replicas)
    return replace(decision, configuration=configuration)


def _is_starting(stage: StageObservation) -> bool:
    return any(counts.starting for counts in stage.replicas.values())

"""The base of policies that plan for a forecast load: the forecast, its quantile, and what to do without one."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from ipa.policies import checks
from ipa.policies.interface import Decision, Histories, Memory, Observation, PolicyError, Predictor
from ipa.policies.lateness import LARGEST_QUANTILE, level_and_memory
from ipa.policies.optimiser import RUNGS, Programme
from ipa.policies.predictors import Outlook


class ForecastLoad(NamedTuple):
    """A load to plan for, without a margin [rps]; NaN if there is no forecast; and the memory from then on.

    `uncovered`: what a goal asks for beyond the quantiles of the forecast, in words; empty if nothing.
    """

    rps: float
    memory: Memory
    uncovered: str = ""

    def noted(self, decision: Decision) -> Decision:
        """The decision for this load, which says so if that is less sure than the goal asks for."""
        if not self.uncovered:
            return decision
        rung = LARGEST_QUANTILE if decision.rung == RUNGS[0] else decision.rung
        return replace(decision, rung=rung, feasible=False, notes=(*decision.notes, self.uncovered))


class ForecastingPolicy:
    """A policy that plans for `outlook`'s forecast x (1 + `load_margin`), and scores what it decides by a programme.

    PolicyError: a margin out of range, or a quantile beside a goal that determines it.
    """

    def __init__(self, programme: Programme, outlook: Outlook, load_margin: float | None) -> None:
        self.programme = programme
        self.outlook = outlook
        margin = programme.pipeline.defaults.load_margin if load_margin is None else load_margin
        self.load_margin = checks.number("load_margin", margin, above=-1)
        if programme.wanted.late_at_most is not None and outlook.quantile is not None:
            raise PolicyError("goal.late_at_most and quantile: both say how sure a plan is; give one of the two")

    @property
    def reads(self) -> tuple[str, ...]:
        """The costly fields that the predictor needs, and latencies where requests that are late count."""
        return (*self.outlook.reads, *(["latency"] if self.programme.wanted.late_at_most is not None else []))

    @property
    def predictor(self) -> Predictor:
        """What forecasts the load."""
        return self.outlook.predictor

    def compute_ahead(self, histories: Histories) -> None:
        """Make the forecasts for these `load_rps` at once; see `Outlook.compute_ahead`."""
        self.outlook.compute_ahead(histories)

    def forecast(self, observation: Observation, memory: Memory) -> ForecastLoad:
        """The load to plan for.

        A goal's `late_at_most` says which quantile of the forecast that is, at least the point. PolicyError: a forecast
        that is no rate.
        """
        late_at_most = self.programme.wanted.late_at_most
        if late_at_most is None:
            return ForecastLoad(self.outlook.rps(observation), memory)
        pipeline = self.programme.pipeline
        level, memory = level_and_memory(late_at_most, pipeline.sla_s, observation, memory, pipeline.graph)
        forecast = self.outlook.forecast(observation)
        rps = max(forecast.point_rps, forecast.at(level))
        if forecast.is_missing or forecast.covers(level) or "future_rps" in self.outlook.reads:
            return ForecastLoad(rps, memory)
        largest = f"end at {forecast.levels[-1]:g}" if forecast.levels else "are missing"
        return ForecastLoad(
            rps, memory, f"the forecast's quantiles {largest}; late_at_most asks for that of {level:.4g}"
        )

    def hold(self, observation: Observation, memory: Memory) -> Decision:
        """The configuration stays as it is."""
        return held(self.programme, observation, memory, "no load sample")


def held(programme: Programme, observation: Observation, memory: Memory, why: str) -> Decision:
    """The configuration stays as it is."""
    configuration = observation.configuration
    objective = programme.score(configuration)
    return Decision(configuration, memory, objective=objective, binding="none", rung="hold", notes=(why,))

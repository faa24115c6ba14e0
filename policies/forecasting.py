"""The base of policies that plan for a forecast load: the forecast, its quantile, and what to do without one."""

from __future__ import annotations

from ipa.policies import checks
from ipa.policies.interface import Decision, Histories, Memory, Observation, PolicyError, Predictor
from ipa.policies.lateness import level_and_memory
from ipa.policies.optimiser import Programme
from ipa.policies.predictors import Outlook


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

    def forecast(self, observation: Observation, memory: Memory) -> tuple[float, Memory]:
        """The load to plan for, without the margin [rps]; NaN if there is no forecast; and the memory from then on.

        A goal's `late_at_most` says which quantile of the forecast that is. PolicyError: a forecast that is no rate.
        """
        late_at_most = self.programme.wanted.late_at_most
        if late_at_most is None:
            return self.outlook.rps(observation), memory
        level, memory = level_and_memory(late_at_most, self.programme.pipeline.sla_s, observation, memory)
        return self.outlook.forecast(observation).at(level), memory

    def hold(self, observation: Observation, memory: Memory) -> Decision:
        """The configuration stays as it is."""
        return held(self.programme, observation, memory, "no load sample")


def held(programme: Programme, observation: Observation, memory: Memory, why: str) -> Decision:
    """The configuration stays as it is."""
    configuration = observation.configuration
    objective = programme.score(configuration)
    return Decision(configuration, memory, objective=objective, binding="none", rung="hold", notes=(why,))

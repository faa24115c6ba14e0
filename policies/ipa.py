"""IPA, and the base of all policies that use the optimiser: forecast the load, plan for it, solve, and give reasons.

Source: Inference Pipeline Adaptation, Journal of Systems Research 2024: the variant, batch size and replicas of every
stage, from one integer programme.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from ipa.policies import checks
from ipa.policies.forecasting import ForecastingPolicy
from ipa.policies.interface import Configuration, Decision, Memory, Observation, PolicyError, Predictor
from ipa.policies.optimiser import (
    PROGRAMME_PARAMETERS,
    SOLVERS,
    Problem,
    Programme,
    Solution,
    SolutionCache,
    cannot_take,
    check_installed,
    question,
)
from ipa.policies.predictors import DEFAULT_PREDICTOR, OUTLOOK_PARAMETERS, Outlook

if TYPE_CHECKING:
    from ipa.profiles import Pipeline


ROUNDINGS = ("nearest", "none")
FALLBACK_NOTED = "solver_fallback_noted"

PLANNING_PARAMETERS = (
    *OUTLOOK_PARAMETERS,
    "load_margin",
    "rounding",
    "solver",
    "solver_fallback",
    *PROGRAMME_PARAMETERS,
)


class OptimisingPolicy(ForecastingPolicy):
    """A policy that asks the optimiser for the best configuration under a forecast load.

    `predictor`: the forecast: a name, {"name": ..., parameters ...} or a Predictor. `quantile`: the quantile of the
    forecast to plan for; None: its point. `horizon_s`: how far the forecast looks; None: 20 s. `load_margin`: the
    planned load is forecast x (1 + margin); None: the pipeline's. `rounding`: "nearest" rounds the planned load to a
    whole number (half to even, as in the published system), "none" does not. `solver`: "exact", which is built in,
    "gurobi" or "highs". `solver_fallback`: the solver to use if `solver` is not installed, has no licence, or has one
    too small for the problem; None: such a problem is an error. The first decision by the fallback notes it. The
    parameters of `Programme` default to the pipeline's; its `goal` replaces the weights, and with `late_at_most` also
    `quantile` (see `ipa.policies.lateness`). A forecast of NaN leaves the configuration as it is (rung "hold").
    `answers` caches the optimiser's answers.

    PolicyError: an unknown parameter, an impossible value, or a solver that is not installed.
    """

    further_parameters: ClassVar[tuple[str, ...]] = PLANNING_PARAMETERS

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        predictor: str | Mapping[str, Any] | Predictor = DEFAULT_PREDICTOR,
        quantile: float | None = None,
        horizon_s: float | None = None,
        load_margin: float | None = None,
        rounding: str = "nearest",
        solver: str = "exact",
        solver_fallback: str | None = None,
        **programme: Any,
    ) -> None:
        checks.known("parameter", programme, PLANNING_PARAMETERS)
        outlook = Outlook(predictor, quantile, horizon_s)
        super().__init__(Programme.of(pipeline, **programme), outlook, load_margin)
        self.rounding = checks.choice("rounding", rounding, ROUNDINGS)
        self.solver = checks.choice("solver", solver, SOLVERS)
        self.solver_fallback = solver_fallback
        if solver_fallback is not None:
            checks.choice("solver_fallback", solver_fallback, SOLVERS)
        check_installed(solver if solver_fallback is None else solver_fallback)
        if solver_fallback != "exact" and (why := cannot_take(solver, self.programme)):
            raise PolicyError(why)
        self.answers = SolutionCache(self.programme, solver, solver_fallback)
        self.start_up_s = max(variant.start_up_s for stage in pipeline.stages for variant in stage.variants)
        """The longest start-up time of any variant [s]."""
        self.fixed: dict[str, Any] = {}
        """Fields that every `Problem` of this policy has: variants, keep_variants, replicas."""

    @property
    def parameters(self) -> dict[str, Any]:
        """The effective parameters, JSON-able."""
        return {**self.outlook.parameters, **self.planning}

    @property
    def planning(self) -> dict[str, Any]:
        """The effective parameters except those of the forecast."""
        programme = {key: getattr(self.programme, key) for key in PROGRAMME_PARAMETERS if key != "goal"}
        if self.programme.goal is not None:
            programme["goal"] = self.programme.wanted.as_dict()
        return {
            "load_margin": self.load_margin,
            "rounding": self.rounding,
            "solver": self.solver,
            "solver_fallback": self.solver_fallback,
            **programme,
            "sla_s": self.programme.target_s,
            "drop_limits_s": list(self.programme.drop_limits),
        }

    def decide(self, observation: Observation, memory: Memory) -> Decision:
        """The decision for this step. PolicyError: an infinite or negative forecast, or a solver that cannot answer."""
        load = self.forecast(observation, memory)
        return load.noted(self.decide_for(load.rps, observation, load.memory))

    def decide_for(self, forecast_rps: float, observation: Observation, memory: Memory) -> Decision:
        """The decision for a given forecast; raises as `decide`."""
        if forecast_rps != forecast_rps:
            return self.hold(observation, memory)
        load_rps = self._planned_rps(forecast_rps)
        failed, current = _failed(observation), observation.configuration
        problem_key = question(
            self.programme.table.names,
            load_rps,
            observation.limit_cores,
            observation.limit_gpus,
            failed,
            current,
            **self.fixed,
        )
        solution = self.answers.kept(problem_key) or self.answers.solve(self._posed(observation, load_rps))
        return decision_from_solution(solution, memory, forecast_rps, load_rps)

    def problem(self, observation: Observation, forecast_rps: float) -> Problem | None:
        """The optimiser's problem for a forecast; None if that is NaN."""
        if forecast_rps != forecast_rps:
            return None
        return self._posed(observation, self._planned_rps(forecast_rps))

    def problems(self, observation: Observation, forecast_rps: float) -> Iterator[Problem]:
        """The problems that a decision for a forecast may have solved, in the order of trying."""
        problem = self.problem(observation, forecast_rps)
        if problem is not None:
            yield problem

    def _planned_rps(self, forecast_rps: float) -> float:
        return self.planned_load_rps(checks.number("forecast_rps", forecast_rps, at_least=0))

    def _posed(self, observation: Observation, load_rps: float) -> Problem:
        return self.problem_for(
            load_rps,
            observation.limit_cores,
            limit_gpus=observation.limit_gpus,
            failed=_failed(observation),
            current=observation.configuration,
        )

    def problem_for(
        self,
        load_rps: float,
        limit_cores: int | None = None,
        *,
        limit_gpus: int | None = None,
        failed: Mapping[str, Collection[str]] | None = None,
        current: Configuration | None = None,
    ) -> Problem:
        """The optimiser's problem for a planned load."""
        return Problem(
            self.programme,
            load_rps,
            limit_cores=limit_cores,
            limit_gpus=limit_gpus,
            failed=failed or {},
            current=current,
            **self.fixed,
        )

    def price_of_starting(self, at_hand: Configuration, planned: Configuration) -> float:
        """The cost of the replicas of new variants that start beside the present ones [objective x s]."""
        cores = sum(stage.total_cores for name, stage in planned.items() if stage.variant != at_hand[name].variant)
        return self.programme.core_weight * cores * self.start_up_s

    def planned_load_rps(self, forecast_rps: float) -> float:
        """The load to plan for [rps]."""
        planned = forecast_rps * (1 + self.load_margin)
        return float(round(planned)) if self.rounding == "nearest" else planned


def _failed(observation: Observation) -> dict[str, tuple[str, ...]]:
    """Stage -> its variants that failed to start; stages without any are left out."""
    return {name: stage.failed_variants for name, stage in observation.stages.items() if stage.failed_variants}


def decision_from_solution(
    solution: Solution, memory: Memory, forecast_rps: float, planned_load_rps: float
) -> Decision:
    """The decision to carry out a solution. If a fallback solver answered, the first such decision notes it."""
    notes = solution.notes
    if solution.fallback_note and FALLBACK_NOTED not in memory:
        notes, memory = (*notes, solution.fallback_note), {**memory, FALLBACK_NOTED: True}
    return Decision(
        configuration=solution.configuration,
        memory=memory,
        forecast_rps=forecast_rps,
        planned_load_rps=planned_load_rps,
        objective=solution.objective,
        binding=solution.binding,
        rung=solution.rung,
        feasible=solution.feasible,
        notes=notes,
    )


class Ipa(OptimisingPolicy):
    """The published policy: the most accuracy for the least cores within the SLA.

    For the parameters see `OptimisingPolicy` and, for weights and assumptions, `Parameters` of the optimiser.
    """

"""All Pareto-optimal plans for a load, and the plan against the load."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ipa.policies import (
    Explanation,
    OptimisingPolicy,
    Solution,
    StageConfiguration,
    explain_problem,
    in_time,
    pareto_plans,
)
from ipa.profiles import Pipeline
from ipa.studies.runs import EASIER, asked_of
from ipa.studies.scenario import Scenario

LONGEST_S = 60.0
"""The time limit of a frontier [s]: each of its plans is a search, which takes seconds in a graph of 40 stages."""


@dataclass(frozen=True)
class Plan:
    """The optimiser's answer for a planned load; fields as in `ipa.policies.Solution`."""

    load_rps: float
    configuration: Mapping[str, StageConfiguration]
    rung: str
    feasible: bool
    binding: str
    objective: Mapping[str, float]
    latency_s: float
    sla_s: float
    sustained_rps: float
    notes: tuple[str, ...]

    @property
    def cores(self) -> int:
        """The cores of all replicas."""
        return round(self.objective["cost_cores"])

    def as_dict(self) -> dict[str, Any]:
        """The plan as a JSON-able dict."""
        return asdict(self)


@dataclass(frozen=True)
class Frontier:
    """The plans for a load that are Pareto-optimal in accuracy and cores, by rising cores, and the chosen one."""

    policy: str
    pipeline: Pipeline
    plans: tuple[Plan, ...]
    chosen: Explanation

    def is_chosen(self, plan: Plan) -> bool:
        """Whether it is the plan that the policy takes."""
        return {name: _served(stage) for name, stage in plan.configuration.items()} == {
            name: _served(stage) for name, stage in self.chosen.configuration.items()
        }

    def as_dict(self) -> dict[str, Any]:
        """JSON-able; each plan says whether it is the chosen one."""
        return {
            "load_rps": self.chosen.load_rps,
            "plans": [{**plan.as_dict(), "chosen": self.is_chosen(plan)} for plan in self.plans],
            "chosen": {
                key: value
                for key, value in self.chosen.as_dict().items()
                if key in ("configuration", "rung", "feasible", "objective", "latency_s", "notes")
            },
        }


@dataclass(frozen=True)
class Over:
    """The plans for rising loads."""

    policy: str
    pipeline: Pipeline
    plans: tuple[Plan, ...]

    @property
    def end_rps(self) -> float:
        """The end of the last plan in a plot [rps]: its step is as long as the one before."""
        last = self.plans[-1].load_rps
        return last + (last - self.plans[-2].load_rps if len(self.plans) > 1 else 1.0)

    def weight(self, stage: str) -> Callable[[str], tuple[float, int]]:
        """The sort key of a stage's variants, the lightest first: accuracy, then cores."""
        variants = self.pipeline.stage(stage).variants
        return {variant.name: (variant.accuracy, variant.base_cores) for variant in variants}.__getitem__


def frontier(scenario: Scenario, load_rps: float) -> Frontier:
    """All Pareto-optimal plans of a scenario's policy for a planned load. Raises as `studies.explain`.

    Raises PolicyError if not found within `LONGEST_S`, as may happen in a large graph.
    """
    policy, pipeline = asked_of(scenario, load_rps)
    problem = policy.problem_for(load_rps, scenario.limit_cores)
    with in_time(f"frontier of {pipeline.name} ({EASIER})", LONGEST_S):
        plans = tuple(_plan(load_rps, solution) for solution in pareto_plans(problem, solver=policy.solver))
        return Frontier(scenario.policy.title, pipeline, plans, explain_problem(problem, solver=policy.solver))


def over(scenario: Scenario, loads_rps: Sequence[float]) -> Over:
    """The plan of a scenario's policy for each planned load, independently of the others.

    Raises as `studies.explain`.
    """
    policy, pipeline = asked_of(scenario, *loads_rps)
    return Over(scenario.policy.title, pipeline, tuple(_planned(policy, scenario, load_rps) for load_rps in loads_rps))


def _planned(policy: OptimisingPolicy, scenario: Scenario, load_rps: float) -> Plan:
    return _plan(load_rps, policy.answers.solve(policy.problem_for(load_rps, scenario.limit_cores)))


def _plan(load_rps: float, solution: Solution) -> Plan:
    return Plan(
        load_rps=load_rps,
        configuration=solution.configuration,
        rung=solution.rung,
        feasible=solution.feasible,
        binding=solution.binding,
        objective=solution.objective,
        latency_s=solution.latency_s,
        sla_s=solution.sla_s,
        sustained_rps=solution.sustained_rps,
        notes=solution.notes,
    )


def _served(stage: StageConfiguration) -> tuple[str, int, int]:
    return stage.variant, stage.batch, stage.replicas

"""The reasons of a decision by a policy that uses the optimiser, recomputed from the observation on request."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from ipa.policies.interface import Configuration, Decision, Memory, Observation, reads
from ipa.policies.ipa import OptimisingPolicy
from ipa.policies.optimiser import Explanation, Price, Problem, SolverError, explain_problem, solve


def explain_decision(
    policy: OptimisingPolicy, observation: Observation, decision: Decision, *, prices: bool = False
) -> Explanation | None:
    """Why `policy` made a decision on an observation; None where it would not make it.

    That is so for one that was held or guarded, or made with another forecast or by another version. `prices` as in
    `explain`. PolicyError: a forecast that is none.
    """
    if decision.forecast_rps is None:
        return None
    for problem in policy.problems(observation, decision.forecast_rps):
        solution = solve(problem, solver=policy.solver, fallback=policy.solver_fallback)
        if solution.configuration == decision.configuration:
            return _explained(policy, problem, prices)
    return None


def _explained(policy: OptimisingPolicy, problem: Problem, prices: bool) -> Explanation:
    try:
        return explain_problem(problem, solver=policy.solver, prices=prices)
    except SolverError:
        if policy.solver_fallback is None:
            raise
        return explain_problem(problem, solver=policy.solver_fallback, prices=prices)


@dataclass(frozen=True)
class Reasoned:
    """Adds to each decision of a policy that uses the optimiser why it was made, as `Decision.why`.

    Each problem is solved several times for that, so this is for full journals.
    """

    policy: OptimisingPolicy

    @property
    def reads(self) -> tuple[str, ...]:
        return reads(self.policy)

    def decide(self, observation: Observation, memory: Memory) -> Decision:
        """The policy's decision with its reasons; without any where it was held."""
        decision = self.policy.decide(observation, memory)
        explanation = explain_decision(self.policy, observation, decision, prices=True)
        return decision if explanation is None else replace(decision, why=why(explanation))


def why(explanation: Explanation) -> dict[str, Any]:
    """What a journal says of an explanation, JSON-able: the part that `Decision` does not say anyway.

    A configuration of None is the one decided on.
    """
    second = explanation.runner_up
    return {
        "latency_s": explanation.latency_s,
        "slack_s": explanation.slack_s,
        "gains": dict(explanation.gains),
        "runner_up": None
        if second is None
        else {"difference": second.difference, "configuration": _other(explanation, second.configuration)},
        "one_more_core": _price(explanation, explanation.one_more_core),
        "ten_ms_of_sla": _price(explanation, explanation.ten_ms_of_sla),
    }


def _price(explanation: Explanation, price: Price | None) -> dict[str, Any] | None:
    if price is None:
        return None
    return {**asdict(price), "configuration": _other(explanation, price.configuration)}


def _other(explanation: Explanation, configuration: Configuration) -> dict[str, Any] | None:
    if configuration == explanation.configuration:
        return None
    return {stage: asdict(stage_configuration) for stage, stage_configuration in configuration.items()}

"""The best objective of a pipeline within each number of cores: what the rules that weigh objectives go by."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ipa.policies.interface import Decision, Observation, Policy
from ipa.policies.ipa import OptimisingPolicy
from ipa.policies.optimiser import Problem, Programme, Within, best_within
from ipa.profiles import Pipeline

Curve = npt.NDArray[np.float64]
"""The best objective within 0, 1, 2, ... cores; it never falls, and is level beyond its end."""

UNMET = 1e6
"""What the whole load unmet takes off an objective: so much that loads come before objectives."""


class Curves:
    """The curves of one pipeline under one policy, by the load that it plans for.

    The programme is that of the policy, with its goal; of a policy that solves none, the pipeline's. From the objective
    of the best plan within c cores, `UNMET` x the part of the load that it does not meet is taken off (see `Within`).
    """

    def __init__(self, pipeline: Pipeline, policy: Policy, most_cores: int) -> None:
        optimising = _optimising(policy)
        self._programme = Programme.of(pipeline) if optimising is None else optimising.programme
        self._fixed: dict[str, Any] = {} if optimising is None else optimising.fixed
        self._most_cores = most_cores
        self._load_rps = 0.0
        self._known: dict[float, Curve] = {}

    def load_rps(self, observation: Observation, decision: Decision) -> float:
        """The load that a decision plans for; of a policy that names none, its forecast, else the highest second of its
        latest interval; without any, the load of the step before."""
        self._load_rps = _load_rps(observation, decision, self._load_rps)
        return self._load_rps

    def curve(self, load_rps: float) -> Curve:
        """The curve for a load; shape (most cores + 1,)."""
        curve = self._known.get(load_rps)
        if curve is None:
            problem = Problem(self._programme, load_rps, limit_cores=self._most_cores, **self._fixed)
            curve = self._known[load_rps] = _curve(problem, self._most_cores)
        return curve


def _curve(problem: Problem, most_cores: int) -> Curve:
    values = np.full(most_cores + 1, -np.inf)
    fewest = 0
    for best in best_within(problem):
        values[best.cores :] = np.where(values[best.cores :] > -np.inf, values[best.cores :], worth(best))
        fewest = best.cores
    values[:fewest] = values[fewest] - UNMET
    curve: Curve = np.maximum.accumulate(values)
    return curve


def worth(best: Within) -> float:
    """The objective of a plan, less what the load that it does not meet takes off."""
    return best.total - UNMET * (1.0 - best.met)


def _load_rps(observation: Observation, decision: Decision, before_rps: float) -> float:
    for load_rps in (decision.planned_load_rps, decision.forecast_rps):
        if load_rps is not None and load_rps == load_rps:
            return load_rps
    latest = observation.load_rps[-max(1, round(observation.elapsed_s)) :]
    return max((second for second in latest if second == second), default=before_rps)


def _optimising(policy: object) -> OptimisingPolicy | None:
    """The policy, or the one that it guards, if that solves a programme."""
    while policy is not None and not isinstance(policy, OptimisingPolicy):
        policy = getattr(policy, "policy", None)
    return policy

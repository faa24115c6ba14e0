"""The best objective of a pipeline within each number of cores or GPUs: what the rule `objective` goes by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ipa.policies.interface import Decision, Observation, Policy
from ipa.policies.ipa import OptimisingPolicy
from ipa.policies.optimiser import Problem, Programme, Within, best_within, best_within_gpus
from ipa.profiles import Pipeline

Curve = npt.NDArray[np.float64]
"""The best objective within 0, 1, 2, ... units; it never falls, and is level beyond its end."""

UNMET = 1e6
"""What the whole load unmet takes off an objective: so much that loads come before objectives."""


class Curves:
    """The curves of one pipeline under one policy, by the load that it plans for.

    The programme is that of the policy, with its goal; of a policy that solves none, the pipeline's. From the objective
    of the best plan within so many units, `UNMET` x the part of the load that it does not meet is taken off (see
    `Within`). `counts_gpus`: a unit is a GPU, not a core.
    """

    def __init__(self, pipeline: Pipeline, policy: Policy, most_units: int, *, counts_gpus: bool = False) -> None:
        optimising = _optimising(policy)
        self._programme = Programme.of(pipeline) if optimising is None else optimising.programme
        self._fixed: dict[str, Any] = {} if optimising is None else optimising.fixed
        self._most_units = most_units
        self._counts_gpus = counts_gpus
        self._load_rps = 0.0
        self._known: dict[float, Curve] = {}

    def load_rps(self, observation: Observation, decision: Decision) -> float:
        """The load that a decision plans for; of a policy that names none, its forecast, else the highest second of its
        latest interval; without any, the load of the step before."""
        self._load_rps = _load_rps(observation, decision, self._load_rps)
        return self._load_rps

    def curve(self, load_rps: float) -> Curve:
        """The curve for a load; shape (most units + 1,)."""
        curve = self._known.get(load_rps)
        if curve is None:
            problem = Problem(self._programme, load_rps, **self._fixed)
            if self._counts_gpus:
                plans = best_within_gpus(replace(problem, limit_gpus=self._most_units))
            else:
                plans = best_within(replace(problem, limit_cores=self._most_units))
            curve = self._known[load_rps] = _curve(plans, self._most_units)
        return curve


def _curve(plans: Iterable[Within], most_units: int) -> Curve:
    values = np.full(most_units + 1, -np.inf)
    fewest = 0
    for best in plans:
        values[best.units :] = np.where(values[best.units :] > -np.inf, values[best.units :], worth(best))
        fewest = best.units
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

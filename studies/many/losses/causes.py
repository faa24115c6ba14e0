"""The causes of a run's loss against the oracle, and the changes of its scenario that remove them.

All are changes of public keys, so that the runs can be reproduced. A cause for which a policy has no key cannot be
removed alone: it is removed with the planning model, which replaces the policy by the oracle.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ipa.policies import MOST_REPLICAS, PREDICTORS, Policy, describe, split_spec, takes
from ipa.studies.scenario import Scenario

FORECAST, PLANNING, CAUTION, CHANGE, START_UP = CAUSES = ("forecast", "planning", "caution", "change", "start-up")

ORDER = (START_UP, CHANGE, FORECAST, CAUTION, PLANNING)
"""The stated order: first the causes of the world, then those of the policy."""

WORLD = (START_UP, CHANGE)
"""The causes of the world, which affect the oracle too."""

WITHOUT_START_UP = {"start_up_s": 0.0, "start_up_extra_s": 0.0}
WITHOUT_CHANGE = {"max_surge": MOST_REPLICAS, "stop_s": 0.0}
PRICE_OF_CHANGE = "price_of_change"

WITHOUT_CAUTION: Mapping[str, Any] = {
    "load_margin": 0.0,
    "margin": 0.0,
    "rounding": "none",
    "throughput_share": 1.0,
    "quantile": None,
    "sla_s": None,
}
"""Parameters that make a plan cautious -> their values without caution."""

OF_ORACLE = {"margin": "load_margin", "quantile": "stand_in_quantile"}
"""The oracle's names of some of them."""

WISHES = (
    "alpha",
    "beta",
    "gamma",
    "accuracy",
    "accuracy_scale",
    "accuracy_floor",
    "candidates",
    "batch_cap",
    "max_replicas",
    "threshold_rps",
)
"""Parameters that define the goal rather than the method: the oracle gets them too."""


@dataclass(frozen=True)
class Removals:
    """How each cause of a run's loss is removed; `kept`: a cause that cannot be removed alone -> the reason."""

    scenario: Scenario
    name: str
    given: Mapping[str, Any]
    effective: Mapping[str, Any]
    kept: Mapping[str, str]

    @property
    def causes(self) -> tuple[str, ...]:
        """The causes that can be removed, in the stated order."""
        return tuple(cause for cause in ORDER if cause not in self.kept)

    def without(self, removed: Collection[str]) -> Scenario:
        """The scenario without some causes."""
        removed = {*removed, *(self.kept if PLANNING in removed else ())}
        values: dict[str, Any] = {}
        if START_UP in removed:
            values |= WITHOUT_START_UP
        if CHANGE in removed:
            values |= WITHOUT_CHANGE
        policy = self._oracle(removed) if PLANNING in removed else self._own(removed)
        records = "sample" if self.scenario.records == "none" else self.scenario.records
        return self.scenario.with_values({**values, "policy": policy, "records": records, "journal": "lean"})

    def changes(self, cause: str) -> dict[str, Any]:
        """The keys that removing a cause alone changes, with their new values; the whole policy if it is replaced."""
        before, after = (scenario.as_dict() for scenario in (self.without(()), self.without([cause])))
        changed = {key: value for key, value in after.items() if key != "policy" and before[key] != value}
        own, then = before["policy"], after["policy"]
        if then["name"] != own["name"]:
            return {**changed, "policy": then}
        return {**changed, **{f"policy.{key}": value for key, value in then.items() if own.get(key, ...) != value}}

    def _own(self, removed: Collection[str]) -> dict[str, Any]:
        policy = {"name": self.name, **self.given}
        if FORECAST in removed:
            # The oracle for the same figure of the load: its busiest second or its mean.
            predictor = self.effective.get("predictor")
            statistic = predictor.get("of") if isinstance(predictor, Mapping) else None
            policy["predictor"] = {"name": "oracle", **({"of": statistic} if statistic else {})}
        if CAUTION in removed:
            policy |= {key: value for key, value in WITHOUT_CAUTION.items() if key in self._cautious}
        if CHANGE in removed and takes(self.name, PRICE_OF_CHANGE):
            policy[PRICE_OF_CHANGE] = 0.0
        return policy

    def _oracle(self, removed: Collection[str]) -> dict[str, Any]:
        """The oracle in place of the policy: with its goal, and with its forecast and caution unless removed."""
        policy = {
            "name": "oracle",
            **{key: self.given[key] for key in WISHES if key in self.given},
        }
        if FORECAST not in removed:
            policy["stand_in"] = self.given.get("predictor", self.effective.get("predictor"))
            policy["stand_in_horizon_s"] = self.effective.get("horizon_s")
        if CAUTION not in removed:
            policy |= {
                OF_ORACLE.get(key, key): self.effective[key]
                for key in self._cautious
                if not (key == "quantile" and FORECAST in removed) and self.effective.get(key) is not None
            }
        if CHANGE in removed:
            policy[PRICE_OF_CHANGE] = 0.0
        return policy

    @property
    def _cautious(self) -> list[str]:
        return [key for key in WITHOUT_CAUTION if takes(self.name, key) and key in self.effective]


def removals(scenario: Scenario, policy: Policy) -> Removals:
    """How the causes of a scenario's loss are removed; `policy` is the scenario's policy."""
    name, own = split_spec(scenario.policy.name)
    parameters = {**own, **scenario.policy.parameters}
    effective = {**describe(policy)["parameters"], **parameters}
    not_alone = {}
    predictor = effective.get("predictor")
    named = predictor.get("name") if isinstance(predictor, Mapping) else predictor
    if not takes(name, "predictor"):
        not_alone[FORECAST] = "it takes no predictor"
    elif "predictor" not in parameters and named not in PREDICTORS:
        not_alone[FORECAST] = "it does not say which predictor it has"
    if not any(takes(name, key) and key in effective for key in WITHOUT_CAUTION):
        not_alone[CAUTION] = f"it has none of {', '.join(WITHOUT_CAUTION)}"
    return Removals(scenario, name, parameters, effective, not_alone)

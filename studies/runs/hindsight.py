"""What an oracle leaves to hindsight: its run is made with each of several plans, and the best one is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

from ipa.policies import knows_future, split_spec
from ipa.studies.scenario import Scenario

if TYPE_CHECKING:
    from ipa.policies import Oracle, Policy

WAIT_SHARES = (0.0, 0.1, 0.35)
LOAD_MARGINS = (0.0, 0.1, 0.25, 0.5, 1.0)
"""What is tried; of the margins, only as many until a plan is late rarely enough."""

AS_RARELY = 0.001
"""Plans are late as rarely as the one that is late least if they are so with this share of the requests more."""

OPEN = ("wait_share", "load_margin", "steady")
"""The parameters of the oracle that a simulation finds where they are not given."""


class HindsightOutcome(NamedTuple):
    """How a run came out: the share of late and lost requests, the decisions that missed the goal or a limit of cores,
    and the objective."""

    late: float
    missed: int
    objective: float


class Tried(NamedTuple):
    """A policy of the oracle and how its run came out."""

    policy: dict[str, Any]
    outcome: HindsightOutcome


def given_of(scenario: Scenario) -> dict[str, Any]:
    """The parameters that a scenario gives its policy, in its name or beside it."""
    return {**split_spec(scenario.policy.name)[1], **scenario.policy.parameters}


def is_left_to_hindsight(policy: Policy, scenario: Scenario) -> TypeGuard[Oracle]:
    """Whether the policy is an oracle that knows the future, of which a parameter is to be found."""
    if not knows_future(policy):
        return False
    from ipa.policies import Oracle

    parameters = given_of(scenario)
    return isinstance(policy, Oracle) and any(parameters.get(key) is None for key in OPEN)


def best_in_hindsight(
    scenario: Scenario, oracle: Oracle, outcome_of: Callable[[Scenario], HindsightOutcome]
) -> Scenario:
    """The scenario with the oracle's best plan: of those that are late as rarely as any and miss the goal least often,
    that of the highest objective."""

    def tried(policy: dict[str, Any]) -> Tried:
        records = "all" if scenario.records == "none" else scenario.records  # decisions are needed
        return Tried(policy, outcome_of(scenario.with_values({"policy": policy, "records": records})))

    series = list(_series(given_of(scenario), oracle))
    all_tried = [tried(policies[-1]) for policies in series if policies[0]["wait_share"] == series[0][0]["wait_share"]]
    for policies in series:
        for policy in policies:
            all_tried.append(tried(policy))
            if all_tried[-1].outcome.late <= least_late(all_tried) + AS_RARELY:
                break
    rarely = [plan for plan in all_tried if plan.outcome.late <= least_late(all_tried) + AS_RARELY]
    best = min(rarely, key=lambda plan: (plan.outcome.missed, -plan.outcome.objective))
    return scenario.with_values({"policy": best.policy})


def least_late(all_tried: Sequence[Tried]) -> float:
    """The share of late requests of the plan that is late least."""
    return min(plan.outcome.late for plan in all_tried)


def _series(parameters: dict[str, Any], oracle: Oracle) -> Iterator[list[dict[str, Any]]]:
    """The oracle's policies with more and more to spare, for each of its other choices."""
    tables = {stage.name: stage.variants for stage in oracle.programme.table.stages}
    choices: list[dict[str, Any]] = [{"steady": False}, {"steady": True}]
    choices += [
        {"steady": False, "candidates": {name: [variant] for name, variant in variants.items()}}
        for variants in oracle.programme.pipeline.defaults.scale_only.values()
        if "candidates" not in parameters and all(variant in tables[name] for name, variant in variants.items())
    ]
    own = {key: value for key, value in parameters.items() if value is not None}
    for choice in choices:
        if own.get("steady", choice["steady"]) == choice["steady"]:
            for share in [own["wait_share"]] if "wait_share" in own else WAIT_SHARES:
                yield [
                    {"name": "oracle", **own, **choice, "wait_share": share, "load_margin": margin}
                    for margin in ([own["load_margin"]] if "load_margin" in own else LOAD_MARGINS)
                ]

"""Why a policy of ours decided what a journal says, asked again afterwards."""

from __future__ import annotations

from ipa.policies import POLICIES, Entry, Explanation, OptimisingPolicy, explain_decision
from ipa.studies.scenario import Scenario, pipeline_of, policy_of


def planner(scenario: Scenario) -> OptimisingPolicy | None:
    """The scenario's policy where it is one of ours that uses the optimiser, to explain what it decided.

    None for any other policy, or a predictor from a file, as explaining runs nobody's code again; and where what the
    scenario names is gone.
    """
    chosen = scenario.policy
    if chosen.name.partition(":")[0] not in POLICIES or ".py:" in str(chosen.parameters):
        return None
    try:
        policy = policy_of(scenario, pipeline_of(scenario))
    except ValueError:
        return None
    return policy if isinstance(policy, OptimisingPolicy) else None


def explained(policy: OptimisingPolicy, entry: Entry) -> Explanation | None:
    """Why a policy decided what a journal's entry says; None where it would not decide that today.

    That is so for a decision that was held, guarded, or made of files that have changed since.
    """
    try:
        return explain_decision(policy, entry.observation, entry.decision)
    except ValueError:
        return None

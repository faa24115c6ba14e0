"""One decision explained, why a journal's decisions were made, and a journal replayed with another policy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ipa.policies import (
    HIGHEST_LOAD_RPS,
    POLICIES,
    Entry,
    Explanation,
    OptimisingPolicy,
    TimeLimit,
    explain_decision,
    explain_problem,
    in_time,
    read_journal,
    replay_journal,
    to_line,
)
from ipa.profiles import Pipeline
from ipa.studies.runs.results import read_lines
from ipa.studies.runs.run import guarded, prepare
from ipa.studies.scenario import Scenario, ScenarioError, pipeline_of, policy_of


def explain(scenario: Scenario, load_rps: float) -> Explanation:
    """The decision of the scenario's policy for a known load, with the reasons and the prices.

    Raises ScenarioError for an impossible load and for a policy that does not use the optimiser. PolicyError: it takes
    longer than a decision may, as it does in a large graph, where the optimiser is asked once for each stage.
    """
    policy, pipeline = asked_of(scenario, load_rps)
    with in_time(f"explanation of the decision for {pipeline.name} ({EASIER})"):
        return explain_problem(policy.problem_for(load_rps, scenario.limit_cores), solver=policy.solver, prices=True)


EASIER = "--set limits.ruled_out leaves variants out"
"""What makes a search shorter."""


def asked_of(scenario: Scenario, *loads_rps: float) -> tuple[OptimisingPolicy, Pipeline]:
    """The scenario's policy, which uses the optimiser, and its pipeline; raises as `explain`."""
    for load_rps in loads_rps:
        if not 0.0 <= load_rps <= HIGHEST_LOAD_RPS:
            raise ScenarioError(f"load {load_rps:g}: should be from 0 to {HIGHEST_LOAD_RPS:g} requests per second")
    prepared = prepare(scenario)
    if not isinstance(prepared.policy, OptimisingPolicy):
        optimising = [name for name, policy in POLICIES.items() if issubclass(policy, OptimisingPolicy)]
        raise ScenarioError(
            f"--policy {scenario.policy.name}: does not use the optimiser, so there is nothing to explain; "
            f"policies that do: {', '.join(optimising)}"
        )
    return prepared.policy, prepared.pipeline


@dataclass(frozen=True)
class Replayed:
    """A journal and what another policy decided on it, entry by entry."""

    policy: str
    recorded: tuple[Entry, ...]
    replayed: tuple[Entry, ...]

    @property
    def equal(self) -> int:
        """The number of steps in which both decided the same configuration."""
        pairs = zip(self.recorded, self.replayed, strict=True)
        return sum(one.decision.configuration == other.decision.configuration for one, other in pairs)

    def lines(self) -> Iterator[str]:
        """The replayed entries as JSON lines, as in a journal."""
        return map(to_line, self.replayed)


def replay(journal: Path, scenario: Scenario) -> Replayed:
    """Ask a scenario's policy, its guards included, on every observation of a recorded journal.

    The policy has its own memory from step to step. Raises ScenarioError for a file that cannot be read, PolicyError
    for one that is not a journal or lacks what the policy reads, and as `prepare`.
    """
    prepared = prepare(scenario)
    policy = guarded(prepared.policy, scenario, prepared.pipeline)
    lines = read_lines(journal)
    # The file of a live controller has a further line for each answer: of the lines of a step the last counts.
    by_step = {entry.observation.step: entry for entry in read_journal(lines, str(journal))}
    recorded = tuple(by_step.values())
    if not recorded:
        raise ScenarioError(f"{journal}: holds no entries")
    with TimeLimit(policy) as limited:
        replayed = tuple(replay_journal(prepared.pipeline, limited, recorded))
    return Replayed(scenario.policy.name, recorded, replayed)


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

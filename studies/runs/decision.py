"""Explanations of one decision or of a journal's decisions, and a journal replayed with another policy."""

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

    Raises ScenarioError for an impossible load or a policy that does not use the optimiser, and PolicyError if it takes
    longer than a decision may, as in a large graph, where the optimiser runs once for each stage.
    """
    policy, pipeline = asked_of(scenario, load_rps)
    with in_time(f"explanation of the decision for {pipeline.name} ({EASIER})"):
        return explain_problem(policy.problem_for(load_rps, scenario.limit_cores), solver=policy.solver, prices=True)


EASIER = "--set limits.ruled_out leaves variants out"
"""The hint how to make a search shorter."""


def asked_of(scenario: Scenario, *loads_rps: float) -> tuple[OptimisingPolicy, Pipeline]:
    """The scenario's optimising policy and its pipeline. Raises ScenarioError as `explain`."""
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
    """A journal, and the decisions of another policy on its observations, entry by entry."""

    policy: str
    recorded: tuple[Entry, ...]
    replayed: tuple[Entry, ...]

    @property
    def equal(self) -> int:
        """The number of steps in which both decided the same configuration."""
        pairs = zip(self.recorded, self.replayed, strict=True)
        return sum(recorded.decision.configuration == replayed.decision.configuration for recorded, replayed in pairs)

    def lines(self) -> Iterator[str]:
        """The replayed entries as JSON lines, as in a journal."""
        return map(to_line, self.replayed)


def replay(journal: Path, scenario: Scenario) -> Replayed:
    """Ask a scenario's policy, its guards included, on every observation of a recorded journal.

    The policy keeps its state from step to step. Raises ScenarioError if the file cannot be read, PolicyError if it is
    not a journal or lacks fields that the policy reads, and as `prepare`.
    """
    prepared = prepare(scenario)
    policy = guarded(prepared)
    lines = read_lines(journal)
    # The journal of a live controller has a further line for each answer; the last line of a step counts.
    by_step = {entry.observation.step: entry for entry in read_journal(lines, str(journal))}
    recorded = tuple(by_step.values())
    if not recorded:
        raise ScenarioError(f"{journal}: holds no entries")
    with TimeLimit(policy) as limited:
        replayed = tuple(replay_journal(prepared.pipeline, limited, recorded))
    return Replayed(scenario.policy.name, recorded, replayed)


def planner(scenario: Scenario) -> OptimisingPolicy | None:
    """The scenario's policy, to explain its decisions, if it is a shipped one that uses the optimiser.

    None for any other policy or with a predictor from a file, since explaining must not run users' code again; and if
    a file that the scenario names is gone.
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
    """Why a policy made the decision of a journal's entry; None if it would not make it today.

    It would not if the decision was held or guarded, or depends on files that have changed since.
    """
    try:
        return explain_decision(policy, entry.observation, entry.decision)
    except ValueError:
        return None

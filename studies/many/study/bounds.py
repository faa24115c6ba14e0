"""The distance of every system from the one that bounds them, by the realised objective of the bound's programme.

    alpha x A - beta x cost     A: the mean over time of the decided accuracy, as the programme combines it, times
                                served PAS / decided PAS; cost: of all existing replicas

Batch sizes are left out: their weight is negligible. An objective ignores requests that were not served in time, so a
system and the bound are comparable only if neither violates the SLA more often than the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ipa import profiles
from ipa.policies.optimiser import Programme
from ipa.studies.intervals import Estimate, paired_difference
from ipa.studies.many.study.findings import Findings, StudyCell, Values
from ipa.studies.runs import served_share
from ipa.studies.scenario import ScenarioError, policy_of

AS_RARELY_POINTS = 0.1
"""SLA violations are equally rare if they differ by at most this many percentage points."""


@dataclass(frozen=True)
class Distance:
    """A system's objective less the bound's on the same arrivals; likewise SLA violations, in percentage points."""

    system: str
    objective: Estimate | None
    violations_points: float

    @property
    def breaks_more(self) -> bool:
        """Whether the system violates the SLA more often, which makes its objective easier."""
        return self.violations_points > AS_RARELY_POINTS

    @property
    def breaks_less(self) -> bool:
        """Whether the bound violates the SLA more often."""
        return self.violations_points < -AS_RARELY_POINTS


@dataclass(frozen=True)
class Bounded:
    """The bound on one workload in one setting, and the distances of all other systems from it."""

    bound: StudyCell
    objective: float
    others: tuple[Distance, ...]


def bounded(findings: Findings, setting: str) -> Iterator[Bounded]:
    """One per workload; none if the study names no bound. Raises ScenarioError if the bound has no programme."""
    name = findings.study.bound
    for workload in findings.study.workloads if name else ():
        cell = findings.cell(setting, workload, str(name))
        if cell is None:
            continue
        programme = _programme(cell)
        best, violations = objective(cell, programme), cell.mean("sla_violation_rate", 100.0)
        others = [beside for system in findings.systems if (beside := findings.cell(setting, workload, system))]
        yield Bounded(
            cell,
            sum(value or 0.0 for value in best.values()) / len(best),
            tuple(
                Distance(
                    beside.system,
                    paired_difference(objective(beside, programme), best),
                    beside.mean("sla_violation_rate", 100.0) - violations,
                )
                for beside in others
                if beside is not cell
            ),
        )


def objective(cell: StudyCell, programme: Programme) -> Values:
    """The realised objective, by seed."""
    return {
        seed: programme.alpha
        * sum(decided.share * programme.accuracy_of(decided.variants) for decided in outcome.configurations)
        * served_share(outcome.summary)
        - programme.beta * outcome.summary["cost_mean_cores"]
        for seed, outcome in cell.outcomes.items()
    }


def _programme(cell: StudyCell) -> Programme:
    policy = policy_of(cell.scenario, profiles.load(cell.scenario.pipeline))
    programme = getattr(policy, "programme", None)
    if not isinstance(programme, Programme):
        raise ScenarioError(
            f"bound: {cell.system} has the policy {cell.scenario.policy.name}, which does not use the optimiser"
        )
    return programme

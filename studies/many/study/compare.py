"""The first system of a study against each of the others, paired by seed, in figures and as a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ipa.studies.formatting import signed
from ipa.studies.intervals import Estimate, difference_of, paired_change_percent
from ipa.studies.many.study.findings import Cell, Findings


@dataclass(frozen=True)
class Comparison:
    """One cell against another that met the same arrivals and draws: differences of PAS (points), of cost (percent of
    the other's), of requests that violate the SLA (percentage points), and the first two as planned."""

    one: Cell
    other: Cell
    pas_points: Estimate | None
    cost_percent: Estimate | None
    violations_points: Estimate | None
    planned_pas_points: Estimate | None
    planned_cost_percent: Estimate | None

    @classmethod
    def of(cls, one: Cell, other: Cell) -> Comparison:
        """The comparison of two cells on the same workload."""

        def difference(key: str, factor: float = 1.0) -> Estimate | None:
            return difference_of(key, one.summaries(key), other.summaries(key), factor)

        def change(key: str) -> Estimate | None:
            return paired_change_percent(one.values(key), other.values(key))

        return cls(
            one,
            other,
            pas_points=difference("pas_mean"),
            cost_percent=change("cost_mean_cores"),
            violations_points=difference("sla_violation_rate", 100.0),
            planned_pas_points=difference("planned_pas_mean"),
            planned_cost_percent=change("planned_cost_mean_cores"),
        )

    @property
    def shown(self) -> str:
        """What is shown, in words: `+2.1 [1.9, 2.3] PAS at -0.4 [-1.1, 0.3] % cost and ...`."""
        return (
            f"{signed(self.pas_points, 1, ' PAS')}{' at' if self.pas_points else ','} "
            f"{signed(self.cost_percent, 1, ' % cost')} and "
            f"{signed(self.violations_points, 1, ' percentage points of SLA violations')}"
        )


def sentence(findings: Findings, comparison: Comparison) -> str:
    """The comparison as one sentence."""
    one, other = comparison.one, comparison.other
    return (
        f"{findings.title(one.system, one.point)} against {findings.title(other.system, other.point)} on "
        f"{one.pipeline} {one.workload}: {comparison.shown}"
    )


def comparisons(findings: Findings) -> Iterator[Comparison]:
    """The first system against each of the others, in every setting and on every workload that both have."""
    first, *others = findings.systems
    for setting, workload in findings.places():
        one = findings.cell(setting, workload, first)
        for name in others:
            other = findings.cell(setting, workload, name)
            if one is not None and other is not None:
                yield Comparison.of(one, other)

"""The headline: the accuracy that a curve of settings gains at equal cost, and the cost it saves at equal accuracy.

The curve is a sweep (IPA with several weights); the others are systems, or the points of another sweep. Each of them is
compared, at equal cost, with the curve's most accurate point whose cost is within `EQUAL_COST` of its own; at equal
accuracy, with the cheapest point whose PAS is within `EQUAL_PAS`. If there is no such point, the two adjacent points of
the curve are mixed, as if each were used for a share of the time. Points are chosen by means over the seeds. The
remaining difference in cost or PAS is reported beside the gain.

Points of a sweep count if they do the same work and no other such point dominates them. A point that violates the SLA
far more often than the curve's point is cheap because it serves few requests: it is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ipa.studies.intervals import Estimate
from ipa.studies.many.study.findings import Findings, StudyCell, SystemsComparison

EQUAL_COST = 0.05
"""Costs are equal within this share of the other's."""

EQUAL_PAS = 0.5
"""PAS are equal within this many points."""

SAME_WORK_POINTS = 5.0
"""A sweep's point does the same work if its SLA violations are at most this many percentage points more."""

MEASURES = {
    "measured": ("cost_mean_cores", "pas_mean"),
    "planned": ("planned_cost_mean_cores", "planned_pas_mean"),
}
"""The keys of cost and PAS: measured, or as decided (planned), which the publication plots."""


@dataclass(frozen=True)
class Match:
    """A system (`other`) compared with the curve's point at equal `at` ("cost" or "accuracy"). `comparison` None: the
    curve has no such point, as it begins at a higher cost or ends at a lower accuracy.

    `over` is the name of the system, or of the sweep whose point it is. `is_mixed`: two points of the curve are mixed.
    `is_left_out`: it is a sweep's point that does not do the same work, so the gain means nothing.
    """

    measure: str
    at: str
    over: str
    other: StudyCell
    comparison: SystemsComparison | None
    is_mixed: bool = False
    is_left_out: bool = False

    @property
    def pas_points(self) -> Estimate | None:
        """The difference of PAS by this measure: the gain at equal cost."""
        comparison = self.comparison
        if comparison is None:
            return None
        return comparison.planned_pas_points if self.measure == "planned" else comparison.pas_points

    @property
    def cost_percent(self) -> Estimate | None:
        """The difference of cost by this measure: the saving at equal accuracy, if below 0."""
        comparison = self.comparison
        if comparison is None:
            return None
        return comparison.planned_cost_percent if self.measure == "planned" else comparison.cost_percent


def matches(findings: Findings) -> Iterator[Match]:
    """The matches of the study's headline, in every setting and on every workload where the curve was run."""
    headline = findings.study.headline
    if headline is None:
        return
    for setting, workload in findings.places():
        curve = findings.of(setting, workload, headline.curve)
        if not curve:
            continue
        for measure in MEASURES:
            for at, names in (("cost", headline.gain_over), ("accuracy", headline.saving_over)):
                for name in names:
                    yield from against(curve, findings.of(setting, workload, name), name, measure, at)


def against(
    curve: Sequence[StudyCell], others: Sequence[StudyCell], over: str, measure: str, at: str
) -> Iterator[Match]:
    """The matches of a system, or of a sweep's points that count, followed by those left out.

    Points are left out before the front is made: else the front would be of points that serve few requests, which are
    the cheapest.
    """
    match_by_point = {cell.point: match(curve, cell, over, measure, at) for cell in others}
    idle = [cell.point for cell in others if cell.point and not does_same_work(match_by_point[cell.point])]
    for cell in front([cell for cell in others if cell.point not in idle], measure):
        yield match_by_point[cell.point]
    for point in idle:
        yield replace(match_by_point[point], is_left_out=True)


def does_same_work(match: Match) -> bool:
    """Whether the other cell violates the SLA hardly more often than the curve's point, if there is one."""
    violations = None if match.comparison is None else match.comparison.violations_points
    return violations is None or violations.mean >= -SAME_WORK_POINTS


def match(curve: Sequence[StudyCell], cell: StudyCell, over: str, measure: str, at: str) -> Match:
    """The match of a cell: its comparison with a point of the curve."""
    cost, pas = MEASURES[measure]
    if at == "cost":
        key, target, tolerance = cost, cell.mean(cost), EQUAL_COST * cell.mean(cost)
    else:
        key, target, tolerance = pas, cell.mean(pas), EQUAL_PAS
    ordered = front(curve, measure)
    equal = [point for point in ordered if abs(point.mean(key) - target) <= tolerance]
    if equal:
        # On the front, the most expensive point is the most accurate.
        return Match(measure, at, over, cell, SystemsComparison.of(equal[-1 if at == "cost" else 0], cell))
    below = [point for point in ordered if point.mean(key) < target]
    above = [point for point in ordered if point.mean(key) > target]
    if below and above:
        cheaper, two = below[-1], above[0]
        share = (two.mean(key) - target) / (two.mean(key) - cheaper.mean(key))
        return Match(measure, at, over, cell, SystemsComparison.of(mixed(cheaper, two, share), cell), is_mixed=True)
    # The whole curve is cheaper, or more accurate, than the other; or more expensive, or less accurate.
    best = below[-1:] if at == "cost" else above[:1]
    return Match(measure, at, over, cell, SystemsComparison.of(best[0], cell) if best else None)


def mixed(first: StudyCell, second: StudyCell, share: float) -> StudyCell:
    """A cell whose figures are those of `one` for a share of the time, and those of `two` for the rest."""

    def mean(a: float | None, b: float | None) -> float | None:
        return None if a is None or b is None else share * a + (1.0 - share) * b

    outcomes = {}
    for seed, outcome in first.outcomes.items():
        others = second.outcomes[seed].summary
        figures = {key: mean(outcome.summary[key], others[key]) for key in _MIXED}
        outcomes[seed] = replace(outcome, summary=figures)
    return replace(first, point=f"{first.point} and {second.point}, mixed", outcomes=outcomes)


_MIXED = (*MEASURES["measured"], *MEASURES["planned"], "sla_violation_rate")


def front(cells: Sequence[StudyCell], measure: str) -> list[StudyCell]:
    """The Pareto front of the cells in cost and accuracy, in order of cost."""
    cost, pas = MEASURES[measure]
    ordered = sorted(cells, key=lambda cell: (cell.mean(cost), -cell.mean(pas)))
    on_front: list[StudyCell] = []
    for cell in ordered:
        if not on_front or cell.mean(pas) > on_front[-1].mean(pas):
            on_front.append(cell)
    return on_front

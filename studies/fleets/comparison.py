"""Rules of sharing compared on the same fleet, over seeds, and which one to take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ipa.studies import results
from ipa.studies.fleets.fleet import Fleet
from ipa.studies.fleets.many import Figures, FleetPoint, conduct
from ipa.studies.intervals import Estimate, estimate, estimate_of
from ipa.studies.many import Running


@dataclass(frozen=True)
class FleetComparison:
    """Runs of a fleet: rule -> the figures of its runs, by seed. `short`: rule -> the share of the time in which the
    budget did not suffice, by seed."""

    fleet: Fleet
    runs: Mapping[str, Sequence[Figures]]
    short: Mapping[str, Sequence[float]]

    def late(self, rule: str) -> list[float]:
        """The weighted mean over the pipelines of their shares of late or lost requests, by seed."""
        weights = dict(zip([m.name for m in self.fleet.pipelines], map(float, self.fleet.weights), strict=True))
        return [
            sum(weight * figures[name]["sla_violation_rate"] for name, weight in weights.items())
            for figures in self.runs[rule]
        ]

    def estimate_of(self, rule: str, pipeline: str, key: str, factor: float = 1.0) -> Estimate | None:
        """The mean of a figure of a pipeline under a rule, over the seeds."""
        return estimate_of(key, [figures[pipeline] for figures in self.runs[rule]], factor)


def compare_sharing(
    fleet: Fleet, rules: Sequence[str], seeds: int = 1, running: Running | None = None
) -> FleetComparison:
    """Run a fleet under each rule, with its pipelines' seeds and the next ones, `seeds` of them.

    The runs are made in memory, or as `running` says. Raises as `conduct`.
    """
    points = [FleetPoint({"sharing": rule}, fleet.with_values({"sharing": rule})) for rule in dict.fromkeys(rules)]
    by_point = conduct(fleet, results.FLEET_COMPARISON, points, seeds, running or Running(None))
    runs_by_rule = {point.fleet.sharing: runs for point, runs in zip(points, by_point, strict=True)}
    return FleetComparison(
        fleet,
        {rule: [run.figures for run in runs] for rule, runs in runs_by_rule.items()},
        {rule: [run.short for run in runs] for rule, runs in runs_by_rule.items()},
    )


def recommendation(comparison: FleetComparison) -> Iterator[str]:
    """Which rule to take: the one with the fewest late requests, weighted by priority; and how sure that is."""
    means = {rule: sum(late) / len(late) for rule, late in ((r, comparison.late(r)) for r in comparison.runs)}
    order = sorted(means, key=lambda rule: means[rule])
    best = order[0]
    yield (
        f"Take {best}: weighted by priority, {100 * means[best]:.2f} % of the requests are late, the fewest "
        f"({', '.join(f'{rule} {100 * means[rule]:.2f} %' for rule in order[1:])})."
    )
    best_late = comparison.late(best)
    alike = []
    for rule in order[1:]:
        difference = estimate(
            [late - least_late for late, least_late in zip(comparison.late(rule), best_late, strict=True)]
        )
        if difference is not None and not difference.low > 0:
            alike.append(rule)
    if alike:
        seeds = len(best_late)
        evidence = "one seed does not tell" if seeds == 1 else f"{seeds} seeds do not tell"
        yield f"From {' and '.join(alike)}, {evidence} it apart."

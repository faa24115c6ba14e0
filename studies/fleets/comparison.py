"""Rules of sharing compared on the same fleet, over seeds, and which one to take."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ipa.studies.fleets.answers import mean_units, outcome_of, short_share
from ipa.studies.fleets.fleet import Fleet
from ipa.studies.fleets.run import FleetRun, simulate_fleet
from ipa.studies.intervals import Estimate, estimate, estimate_of
from ipa.studies.many import workers

Figures = Mapping[str, Mapping[str, Any]]
"""Pipeline -> the summary of its run, with `wanted`, `got` and `objective`."""


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
    fleet: Fleet,
    rules: Sequence[str],
    seeds: int = 1,
    jobs: int = 1,
    on_run: Callable[[], object] = lambda: None,
) -> FleetComparison:
    """Run a fleet under each rule, with its pipelines' seeds and the next ones, `seeds` of them, `jobs` at a time.

    The result does not depend on `jobs`. `on_run` is called after each run. Raises as `simulate_fleet`.
    """
    tasks = [(rule, seed) for rule in dict.fromkeys(rules) for seed in range(seeds)]
    results: dict[int, tuple[Figures, float]] = {}

    def keep(place: int, result: tuple[Figures, float]) -> None:
        results[place] = result
        on_run()

    workers.run_all(partial(_figures, fleet), tasks, jobs, keep)
    in_order = [results[place] for place in range(len(tasks))]
    results_by_rule = {rule: in_order[k * seeds : (k + 1) * seeds] for k, rule in enumerate(dict.fromkeys(rules))}
    return FleetComparison(
        fleet,
        {rule: [figures for figures, _ in results] for rule, results in results_by_rule.items()},
        {rule: [short for _, short in results] for rule, results in results_by_rule.items()},
    )


def _figures(fleet: Fleet, task: tuple[str, int]) -> tuple[Figures, float]:
    rule, place = task
    return figures_of_run(fleet.with_values({"sharing": rule}), place)


def figures_of_run(fleet: Fleet, place: int) -> tuple[Figures, float]:
    """Run a fleet with its pipelines' seeds, each `place` higher; its figures, and the share of the time in which the
    budget did not suffice."""
    run = simulate_fleet(with_seeds(fleet, place))
    return figures_of_fleet(run), short_share(run)


def with_seeds(fleet: Fleet, place: int) -> Fleet:
    """The fleet with its pipelines' seeds, each `place` higher."""
    return fleet.with_values({f"{m.name}.seed": m.scenario.seed + place for m in fleet.pipelines})


def figures_of_fleet(run: FleetRun) -> Figures:
    """The figures of each pipeline of a run."""
    figures = {}
    for name, member_run in run.runs.items():
        mean_wanted, mean_got = mean_units(run, name)
        own = {"wanted": mean_wanted, "got": mean_got, "objective": outcome_of(member_run).objective}
        figures[name] = {**member_run.summary, **own}
    return figures


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

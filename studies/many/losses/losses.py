"""The runs without each set of causes, and the cost of each cause."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import factorial, nan
from typing import Any, NamedTuple
from uuid import uuid4

from ipa.studies.intervals import Estimate, estimate
from ipa.studies.many import (
    LOCAL,
    OBJECTIVES,
    Keys,
    NamedRun,
    PlannedRun,
    Progress,
    Running,
    begun,
    key_of,
    make,
    named_runs,
    silent,
    summary_of,
)
from ipa.studies.many.losses.causes import CAUSES, CHANGE, WORLD, Removals, removals
from ipa.studies.runs import RunData, prepare
from ipa.studies.scenario import Scenario, ScenarioError


@dataclass(frozen=True)
class Loss:
    """The loss of one run. `left`: set of removed causes -> figures of the run without them; `recorded`: the figures in
    its summary."""

    scenario: Scenario
    removals: Removals
    left: Mapping[Causes, Values]
    recorded: Values

    @property
    def run(self) -> Values:
        """The figures of the run, simulated anew."""
        return self.left[frozenset()]

    @property
    def oracle(self) -> Values:
        """The figures of the oracle in the same world."""
        return self._oracle(frozenset())

    def difference(self, figure: LossFigure) -> float:
        """The run's figure less the oracle's."""
        return self.run[figure.key] - self.oracle[figure.key]

    def shares(self, figure: LossFigure) -> dict[str, CauseShare]:
        """Cause -> its share of that difference."""
        return shared_out(self.removals.causes, lambda removed: self._difference(figure, removed))

    def of_oracle(self, figure: LossFigure) -> dict[str, CauseShare]:
        """Cause of the world -> the oracle's own loss to it."""
        free = self._oracle(frozenset(WORLD))[figure.key]
        world = [cause for cause in self.removals.causes if cause in WORLD]
        return shared_out(world, lambda removed: self._oracle(removed)[figure.key] - free)

    def _difference(self, figure: LossFigure, removed: Causes) -> float:
        return self.left[removed][figure.key] - self._oracle(removed & frozenset(WORLD))[figure.key]

    def _oracle(self, removed: Causes) -> Values:
        policy = frozenset(cause for cause in self.removals.causes if cause not in WORLD)
        return self.left[policy | removed]


@dataclass(frozen=True)
class CauseCost:
    """The cost of a cause to a policy in one figure: the means of the shares over its seeds."""

    cause: str
    figure: LossFigure
    mean: Estimate
    in_order: float
    least: float
    most: float


@dataclass(frozen=True)
class OfPolicy:
    """The losses of a policy's runs, one for each seed, in order.

    `policy` is its name in tables; with the load and setting if there are several.
    """

    policy: str
    losses: tuple[Loss, ...]

    @property
    def scenario(self) -> Scenario:
        """The scenario of the first run."""
        return self.losses[0].scenario

    @property
    def seeds(self) -> list[int]:
        """The seeds of the runs."""
        return [loss.scenario.seed for loss in self.losses]

    @property
    def kept(self) -> Mapping[str, str]:
        """The causes that could not be removed alone, and why."""
        return self.losses[0].removals.kept

    def difference(self, figure: LossFigure) -> Estimate:
        """The policy's figure less the oracle's."""
        return _mean(loss.difference(figure) for loss in self.losses)

    def mean(self, figure: LossFigure) -> float:
        """The policy's figure."""
        return _mean(loss.run[figure.key] for loss in self.losses).mean

    def mean_of_oracle(self, figure: LossFigure) -> float:
        """The oracle's figure."""
        return _mean(loss.oracle[figure.key] for loss in self.losses).mean

    def parts(self, figure: LossFigure) -> list[CauseCost]:
        """The cost of each cause in a figure, in the order of `CAUSES`."""
        shares = [loss.shares(figure) for loss in self.losses]
        return [
            CauseCost(
                cause,
                figure,
                _mean(of_run[cause].mean for of_run in shares),
                _mean(of_run[cause].in_order for of_run in shares).mean,
                min(of_run[cause].least for of_run in shares),
                max(of_run[cause].most for of_run in shares),
            )
            for cause in CAUSES
            if cause in shares[0]
        ]

    def of_oracle(self, figure: LossFigure) -> dict[str, float]:
        """Cause of the world -> its cost to the oracle itself."""
        shares = [loss.of_oracle(figure) for loss in self.losses]
        return {cause: _mean(of_run[cause].mean for of_run in shares).mean for cause in shares[0]}


@dataclass(frozen=True)
class Losses:
    """The losses of runs against the oracle, by policy, and by load and setting if there are several."""

    policies: tuple[OfPolicy, ...]

    @property
    def where(self) -> str:
        """The pipeline and the load, in words; their number if there are several."""
        pipelines, traces = (
            list(dict.fromkeys(getattr(policy.scenario, key) for policy in self.policies))
            for key in ("pipeline", "trace")
        )
        of_pipelines = pipelines[0] if len(pipelines) == 1 else f"{len(pipelines)} pipelines"
        return f"{of_pipelines} on {traces[0] if len(traces) == 1 else f'{len(traces)} loads'}"


def explain_losses(
    runs: Sequence[RunData | NamedRun], *, jobs: int | None = 1, on: str = LOCAL, progress: Progress = silent
) -> Losses:
    """The losses of runs against the oracle, by cause; `jobs`, `on` and `progress`: as in `Running`.

    Each run is repeated without every set of its removable causes, at most 32 times. Raises ScenarioError for no runs
    and for one that fails, whose policy it names, and as `prepare` and `RunsSession.executor`.
    """
    if not runs:
        raise ScenarioError("there are no runs to explain")
    all_named, keys = _named(runs), Keys()
    of_runs = [_removals_of(run.scenario) for run in all_named]
    plans = [_planned(run_removals, keys) for run_removals in of_runs]
    plan = {
        planned.key: (f"{run_removals.scenario.policy.name}, seed {run_removals.scenario.seed}", planned)
        for run_removals, of_run in zip(of_runs, plans, strict=True)
        for planned in of_run.values()
    }
    with begun(Running(None, jobs, on, progress), {}, summary_of) as session:
        with session.executor(run.scenario for run in all_named) as make_runs, session.ended_by_failure(plan.values()):
            make_runs((planned for _, planned in plan.values()), len(plan))
        by_key = session.store.summaries(list(plan))
        summaries = {key: summary for key, summary in by_key.items() if isinstance(summary, dict)}
    groups: dict[Hashable, list[Loss]] = {}
    for run, run_removals, planned in zip(all_named, of_runs, plans, strict=True):
        figures_by_removed = {
            removed: _figures(summaries[planned_run.key], CHANGE in removed) for removed, planned_run in planned.items()
        }
        groups.setdefault(run.group, []).append(
            Loss(run_removals.scenario, run_removals, figures_by_removed, _recorded(run.summary))
        )
    title = named_runs.titles(all_named)
    return Losses(tuple(OfPolicy(title[group], tuple(losses)) for group, losses in groups.items()))


def estimated_s(runs: Sequence[RunData | NamedRun], jobs: int) -> float:
    """An upper estimate of the time [s] of `explain_losses` in `jobs` processes, from the first, middle and last run.

    Raises as that.
    """
    keys, tried = Keys(), []
    for place in sorted({0, len(runs) // 2, len(runs) - 1}):
        run_removals = _removals_of(runs[place].scenario)
        plan = _planned(run_removals, keys)
        tried += [plan[frozenset()], plan[frozenset(run_removals.causes)]]  # itself, and the slowest, the oracle
    mark = uuid4().hex
    make(summary_of, mark, tried[:1])  # warm-up
    run_s = make(summary_of, mark, tried).took_s / len(tried)
    return len(runs) * float(2 ** len(CAUSES)) * run_s / jobs


def _named(runs: Sequence[RunData | NamedRun]) -> list[NamedRun]:
    return [run if isinstance(run, NamedRun) else named_runs.named(run) for run in runs]


def _removals_of(scenario: Scenario) -> Removals:
    return removals(scenario, prepare(scenario).policy)


def _planned(run_removals: Removals, keys: Keys) -> dict[Causes, PlannedRun]:
    """The runs without each set of causes, which the programme of the oracle with all of the world's judges."""
    judge = run_removals.without([cause for cause in run_removals.causes if cause not in WORLD])
    planned = {}
    for removed in subsets(run_removals.causes):
        scenario = run_removals.without(removed)
        key = key_of(f"{keys.shared(scenario)}\n{judge.digest}", scenario.seed)
        planned[removed] = PlannedRun(key, scenario.as_dict(), judge.as_dict())
    return planned


def _recorded(summary: Mapping[str, Any]) -> Values:
    """The figures in a run's summary; none if that is empty."""
    if not summary:
        return {}
    pas = summary["pas_mean"]
    return {
        "cost_mean_cores": float(summary["cost_mean_cores"]),
        "pas_mean": nan if pas is None else float(pas),
        "violations_percent": 100.0 * float(summary["sla_violation_rate"]),
    }


def _mean(values: Iterable[float]) -> Estimate:
    mean = estimate(values)
    assert mean is not None, "a policy has a run"
    return mean


# The figures of a run: the realised objective of its programme, and its components.


class LossFigure(NamedTuple):
    """A figure: its names in results, tables and sentences, its rounding, and whether more is better.

    `more` and `less` follow a number: `0.4 cores more`.
    """

    key: str
    title: str
    unit: str
    decimals: int
    more_is_better: bool
    more: str
    less: str


OBJECTIVE = LossFigure("objective", "Objective", "", 3, True, "objective more", "objective less")
VIOLATIONS = LossFigure(
    "violations_percent",
    "SLA violations",
    "percentage points",
    2,
    False,
    "points of SLA violations more",
    "points of SLA violations less",
)
FIGURES = (
    OBJECTIVE,
    LossFigure("cost_mean_cores", "Cost", "cores", 2, False, "cores more", "cores less"),
    LossFigure("pas_mean", "PAS", "points", 2, True, "PAS more", "PAS less"),
    VIOLATIONS,
)

Values = Mapping[str, float]
"""A figure's key -> its value."""


def _figures(summary: Mapping[str, Any], free_changes: bool) -> Values:
    """The figures of a judged run; the objective is that of its judge's programme: alpha x A - beta x cost.

    A is the accuracy of what was served, as the programme combines it. The cost is that of all existing replicas or,
    with `free_changes`, of the desired ones. PAS is NaN if no request completed.
    """
    objective = "planned_objective" if free_changes else "objective"
    pas = summary["pas_mean"]
    return {
        "objective": summary[objective],
        "cost_mean_cores": summary[OBJECTIVES[objective]],
        "pas_mean": float("nan") if pas is None else pas,
        "violations_percent": 100.0 * summary["sla_violation_rate"],
    }


# A difference divided among its causes, from what is left of it without each set of causes.
#
# For a set of removed causes S, d(S) is what is left of the difference; d of all causes is 0. Removing cause i after S
# reduces it by d(S) - d(S + i). The order of removal matters if causes interact, so a cause's share is the mean over
# all orders (Shapley, 1953):
#
#     share(i) = sum over S without i of |S|! (n - |S| - 1)! / n! [ d(S) - d(S + i) ]
#
# Shares add up to the whole difference.


Causes = frozenset[str]


@dataclass(frozen=True, slots=True)
class CauseShare:
    """A cause's share of a difference: the `mean` over all orders of removal, its value `in_order` (the stated order),
    and the `least` and `most` in any order."""

    mean: float
    in_order: float
    least: float
    most: float


def subsets(causes: Sequence[str]) -> list[Causes]:
    """All sets of the causes, the smaller ones first."""
    return [frozenset(chosen) for size in range(len(causes) + 1) for chosen in combinations(causes, size)]


def shared_out(causes: Sequence[str], left_without: Callable[[Causes], float]) -> dict[str, CauseShare]:
    """Cause -> its share of the whole difference, `left(frozenset())`; `causes` are in the stated order of removal."""
    count = len(causes)
    shares = {}
    for place, cause in enumerate(causes):
        others = [present for present in causes if present != cause]
        taken_off = {removed: left_without(removed) - left_without(removed | {cause}) for removed in subsets(others)}
        mean = sum(
            factorial(len(removed)) * factorial(count - len(removed) - 1) / factorial(count) * off
            for removed, off in taken_off.items()
        )
        shares[cause] = CauseShare(
            mean, taken_off[frozenset(causes[:place])], min(taken_off.values()), max(taken_off.values())
        )
    return shares

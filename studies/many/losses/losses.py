"""The runs without each set of causes, and what each cause has cost."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import factorial, fsum, nan
from time import perf_counter
from typing import Any, NamedTuple

from ipa.errors import Error
from ipa.policies import Configuration, Entry, OptimisingPolicy
from ipa.studies.intervals import Estimate, estimate
from ipa.studies.many import gathered
from ipa.studies.many.losses.causes import CAUSES, CHANGE, WORLD, Removals, removals
from ipa.studies.many.losses.runs import Named, named, titles
from ipa.studies.runs import Run, RunData, prepare, simulate
from ipa.studies.scenario import Scenario, ScenarioError


@dataclass(frozen=True)
class Loss:
    """What one run lost. `left`: set of removed causes -> figures of the run without them; `oracle`: likewise, of the
    oracle without what the world does."""

    scenario: Scenario
    removals: Removals
    left: Mapping[Causes, Values]
    recorded: Values

    @property
    def run(self) -> Values:
        """The figures of the run, simulated again."""
        return self.left[frozenset()]

    @property
    def oracle(self) -> Values:
        """The figures of the oracle in the same world."""
        return self._oracle(frozenset())

    def difference(self, figure: Figure) -> float:
        """The run's figure less the oracle's."""
        return self.run[figure.key] - self.oracle[figure.key]

    def shares(self, figure: Figure) -> dict[str, Share]:
        """Cause -> its share of that difference."""
        return shared_out(self.removals.causes, lambda removed: self._difference(figure, removed))

    def of_oracle(self, figure: Figure) -> dict[str, Share]:
        """Cause -> what the oracle itself loses to it; only to what is the world's."""
        free = self._oracle(frozenset(WORLD))[figure.key]
        world = [cause for cause in self.removals.causes if cause in WORLD]
        return shared_out(world, lambda removed: self._oracle(removed)[figure.key] - free)

    def _difference(self, figure: Figure, removed: Causes) -> float:
        return self.left[removed][figure.key] - self._oracle(removed & frozenset(WORLD))[figure.key]

    def _oracle(self, removed: Causes) -> Values:
        policy = frozenset(cause for cause in self.removals.causes if cause not in WORLD)
        return self.left[policy | removed]


@dataclass(frozen=True)
class Part:
    """What a cause cost a policy by one figure, over its seeds: the shares' means."""

    cause: str
    figure: Figure
    mean: Estimate
    in_order: float
    least: float
    most: float


@dataclass(frozen=True)
class OfPolicy:
    """The losses of a policy's runs, one for each seed, in order.

    `policy` is what tables call it: where there are runs on several loads, or in several settings, with theirs.
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

    def difference(self, figure: Figure) -> Estimate:
        """The policy's figure less the oracle's."""
        return _mean(loss.difference(figure) for loss in self.losses)

    def mean(self, figure: Figure) -> float:
        """The policy's figure."""
        return _mean(loss.run[figure.key] for loss in self.losses).mean

    def mean_of_oracle(self, figure: Figure) -> float:
        """The oracle's figure."""
        return _mean(loss.oracle[figure.key] for loss in self.losses).mean

    def parts(self, figure: Figure) -> list[Part]:
        """What each cause cost by a figure, in the order of `CAUSES`."""
        shares = [loss.shares(figure) for loss in self.losses]
        return [
            Part(
                cause,
                figure,
                _mean(each[cause].mean for each in shares),
                _mean(each[cause].in_order for each in shares).mean,
                min(each[cause].least for each in shares),
                max(each[cause].most for each in shares),
            )
            for cause in CAUSES
            if cause in shares[0]
        ]

    def of_oracle(self, figure: Figure) -> dict[str, float]:
        """Cause -> what it costs the oracle itself."""
        shares = [loss.of_oracle(figure) for loss in self.losses]
        return {cause: _mean(each[cause].mean for each in shares).mean for cause in shares[0]}


@dataclass(frozen=True)
class Losses:
    """What runs lost against the oracle; by policy, and by load and setting where there are several."""

    policies: tuple[OfPolicy, ...]

    @property
    def where(self) -> str:
        """The pipeline and the load, in words; of several loads or pipelines how many there are."""
        pipelines, traces = (
            list(dict.fromkeys(getattr(of.scenario, key) for of in self.policies)) for key in ("pipeline", "trace")
        )
        of_pipelines = pipelines[0] if len(pipelines) == 1 else f"{len(pipelines)} pipelines"
        return f"{of_pipelines} on {traces[0] if len(traces) == 1 else f'{len(traces)} loads'}"


def explain_losses(
    runs: Sequence[RunData | Named], *, jobs: int = 1, on_finished: Callable[[], object] = lambda: None
) -> Losses:
    """What runs lost against the oracle, and to what; `on_finished` is called after each run that is made.

    Each run is made again without every set of the causes that can be removed from it, at most 32 times, `jobs` at a
    time. Raises ScenarioError for no runs, and as `prepare` and `simulate`; the error names the policy.
    """
    if not runs:
        raise ScenarioError("there are no runs to explain")
    all_named = _named(runs)
    of_runs = [_removals_of(run.scenario) for run in all_named]
    asked = {task.key: task for each in of_runs for task in _tasks(each).values()}
    made = gathered(_figures, asked, jobs, lambda _, __: on_finished())
    groups: dict[Hashable, list[Loss]] = {}
    for run, each in zip(all_named, of_runs, strict=True):
        left = {removed: made[task.key] for removed, task in _tasks(each).items()}
        groups.setdefault(run.group, []).append(Loss(each.scenario, each, left, _recorded(run.summary)))
    title = titles(all_named)
    return Losses(tuple(OfPolicy(title[group], tuple(losses)) for group, losses in groups.items()))


def runs_needed(runs: Sequence[RunData | Named]) -> int:
    """How many runs `explain_losses` makes. Raises as it."""
    return len({task.key for run in runs for task in _tasks(_removals_of(run.scenario)).values()})


def estimated_s(runs: Sequence[RunData | Named], jobs: int) -> float:
    """How long `explain_losses` would take at most in `jobs` processes: by the first, middle and last run, made once.

    Raises as it.
    """
    tried = [runs[place].scenario for place in sorted({0, len(runs) // 2, len(runs) - 1})]
    _figures_of_itself(tried[0])  # loads what is loaded once
    started_s = perf_counter()
    for scenario in tried:
        _figures_of_itself(scenario)
    run_s = (perf_counter() - started_s) / len(tried)
    return len(runs) * float(2 ** len(CAUSES)) * run_s / jobs


def _figures_of_itself(scenario: Scenario) -> Values:
    return _figures(_tasks(_removals_of(scenario))[frozenset()])


def _named(runs: Sequence[RunData | Named]) -> list[Named]:
    return [run if isinstance(run, Named) else named(run) for run in runs]


class _Task(NamedTuple):
    """A run to make: its scenario, that of the oracle whose programme judges it, and whether changes are free."""

    scenario: Scenario
    judge: Scenario
    free_changes: bool

    @property
    def key(self) -> Hashable:
        return self.scenario.digest, self.judge.digest, self.free_changes


def _removals_of(scenario: Scenario) -> Removals:
    return removals(scenario, prepare(scenario).policy)


def _tasks(of: Removals) -> dict[Causes, _Task]:
    judge = of.without([cause for cause in of.causes if cause not in WORLD])
    return {removed: _Task(of.without(removed), judge, CHANGE in removed) for removed in subsets(of.causes)}


def _figures(task: _Task) -> Values:
    try:
        judge = prepare(task.judge).policy
        assert isinstance(judge, OptimisingPolicy), "the oracle uses the optimiser"
        return figures_of(simulate(task.scenario), judge, task.free_changes)
    except Error as error:
        raise type(error)(f"{task.scenario.policy.name}, seed {task.scenario.seed}: {error}") from error


def _recorded(summary: Mapping[str, Any]) -> Values:
    """The figures of a run that its summary holds; none of an empty one."""
    if not summary:
        return {}
    pas = summary["pas_mean"]
    return {
        "cost_mean_cores": float(summary["cost_mean_cores"]),
        "pas_mean": nan if pas is None else float(pas),
        "violations_percent": 100.0 * float(summary["sla_violation_rate"]),
    }


def _mean(values: Iterable[float]) -> Estimate:
    found = estimate(values)
    assert found is not None, "a policy has a run"
    return found


# What a run is judged by: the objective of its programme as it came out, and what stands behind it.


class Figure(NamedTuple):
    """A figure: its name in results, in tables and in sentences, how it is rounded, and whether more of it is better.

    `more` and `less` follow a number: `0.4 cores more`.
    """

    key: str
    title: str
    unit: str
    decimals: int
    more_is_better: bool
    more: str
    less: str


OBJECTIVE = Figure("objective", "Objective", "", 3, True, "objective more", "objective less")
VIOLATIONS = Figure(
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
    Figure("cost_mean_cores", "Cost", "cores", 2, False, "cores more", "cores less"),
    Figure("pas_mean", "PAS", "points", 2, True, "PAS more", "PAS less"),
    VIOLATIONS,
)

Values = Mapping[str, float]
"""A figure's key -> its value."""


def figures_of(run: Run, judge: OptimisingPolicy, free_changes: bool) -> Values:
    """The figures of a run, whose objective is that of `judge`'s programme: alpha x A - beta x cost.

    A is the time's mean of the accuracy of what was decided, as the programme combines it; cost is that of all replicas
    that existed or, with `free_changes`, of those that were wanted. PAS is NaN where no request completed.
    """
    summary, programme = run.summary, judge.programme
    cost = summary["planned_cost_mean_cores" if free_changes else "cost_mean_cores"]
    accuracy = _mean_accuracy(run.entries, run.initial, run.trace.duration_s, judge)
    pas = summary["pas_mean"]
    return {
        "objective": programme.alpha * accuracy - programme.beta * cost,
        "cost_mean_cores": cost,
        "pas_mean": float("nan") if pas is None else pas,
        "violations_percent": 100.0 * summary["sla_violation_rate"],
    }


def _mean_accuracy(
    entries: Sequence[Entry], initial: Configuration, duration_s: float, judge: OptimisingPolicy
) -> float:
    """Of the configurations in force, by the time that each was."""
    in_force = [(0.0, initial)]
    in_force += [(each.observation.time_s, each.decision.configuration) for each in entries if not each.is_refused]
    ends_s = [*(since_s for since_s, _ in in_force), duration_s]
    lasting_s = [end_s - since_s for since_s, end_s in pairwise(ends_s)]
    total = fsum(
        lasted_s * judge.programme.score(configuration)["accuracy"]
        for lasted_s, (_, configuration) in zip(lasting_s, in_force, strict=True)
    )
    return total / duration_s


# A difference shared out among the causes of it, from what is left of it without each set of causes.
#
# For a set of removed causes S, d(S) is what is left of the difference; d of all causes is 0. Removing cause i after S
# takes d(S) - d(S + i) off it. The order in which causes are removed matters where they act together, so that a cause's
# share is the mean over all orders (Shapley, 1953):
#
#     share(i) = sum over S without i of |S|! (n - |S| - 1)! / n! [ d(S) - d(S + i) ]
#
# Shares add up to the whole difference.


Causes = frozenset[str]


@dataclass(frozen=True, slots=True)
class Share:
    """What one cause takes off a difference: `mean` over all orders, `in_order` in the one that was given, and the
    `least` and `most` in any."""

    mean: float
    in_order: float
    least: float
    most: float


def subsets(causes: Sequence[str]) -> list[Causes]:
    """All sets of the causes, the smaller ones first."""
    return [frozenset(chosen) for size in range(len(causes) + 1) for chosen in combinations(causes, size)]


def shared_out(causes: Sequence[str], left: Callable[[Causes], float]) -> dict[str, Share]:
    """Cause -> its share of `left` of nothing removed; `causes` are in the order in which `in_order` removes them."""
    count = len(causes)
    found = {}
    for place, cause in enumerate(causes):
        others = [other for other in causes if other != cause]
        taken = {removed: left(removed) - left(removed | {cause}) for removed in subsets(others)}
        mean = sum(
            factorial(len(removed)) * factorial(count - len(removed) - 1) / factorial(count) * off
            for removed, off in taken.items()
        )
        found[cause] = Share(mean, taken[frozenset(causes[:place])], min(taken.values()), max(taken.values()))
    return found

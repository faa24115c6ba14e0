"""The configurations in force during a run, and the decisions that could not keep what is asked."""

from __future__ import annotations

from collections.abc import Iterable
from math import fsum
from operator import mul, sub
from typing import NamedTuple, Self

from ipa.policies import LARGEST_QUANTILE, NO_GOAL, RUNGS, Applied, Configuration, Entry, Goal, Journal
from ipa.profiles import Pipeline
from ipa.sim.tables import configured_accuracy, configured_cores

_, NO_ACCURACY, *OVERLOADED = RUNGS


class Figures(NamedTuple):
    """The total cores of a configuration, its accuracy from 0 to 1, and whether that is all that the goal asks for."""

    cores: float
    accuracy: float
    is_accurate_enough: bool


class Planned:
    """The configurations in force, in order: since when, their total cores and their accuracy; and counts of decisions.

    A refused decision leaves the previous configuration in force. `infeasible`: the decisions that could not meet load,
    SLA, limits and goal. Of these, `below_accuracy` have less accuracy than the goal asks for, `above_cores` take more
    cores than the limit or the goal allows, `uncovered` are for fewer late requests than the forecast's quantiles
    cover, and `overloaded` do not carry the load within the SLA and the limits, by the policy's own account.
    """

    def __init__(self, pipeline: Pipeline, goal: Goal = NO_GOAL) -> None:
        self._pipeline = pipeline
        self._goal = goal
        self._names = tuple(stage.name for stage in pipeline.stages)
        self._in_force: Configuration | None = None
        self._latest: tuple[Configuration, Figures] | None = None
        self._since_s: list[float] = []
        self._cores: list[float] = []
        self._accuracy: list[float] = []
        self._accuracies: dict[tuple[str, ...], float] = {}  # by the stages' variants
        self.decisions = 0
        self.infeasible = 0
        self.below_accuracy = 0
        self.above_cores = 0
        self.uncovered = 0
        self.overloaded = 0
        self.changes = 0

    @classmethod
    def of(cls, pipeline: Pipeline, initial: Configuration, entries: Iterable[Entry], goal: Goal = NO_GOAL) -> Self:
        """Read them from a journal. `initial` was in force before its first entry, unless that is of time 0."""
        planned = cls(pipeline, goal)
        for entry in entries:
            if not planned.decisions and entry.observation.step > 0:
                planned.stands(initial, 0.0)
            planned.decided(entry)
        if not planned.decisions:
            planned.stands(initial, 0.0)
        return planned

    def decided(self, entry: Entry) -> None:
        """Add a decision."""
        decision = entry.decision
        figures = self._figures(decision.configuration)
        most_cores = self._goal.core_limit(entry.observation.limit_cores)
        is_below = not figures.is_accurate_enough or decision.rung == NO_ACCURACY
        is_above = most_cores is not None and figures.cores > most_cores
        self.decisions += 1
        if is_below or is_above or not decision.feasible:
            self.infeasible += 1
            self.below_accuracy += is_below
            self.above_cores += is_above
            is_uncovered = decision.rung == LARGEST_QUANTILE
            self.uncovered += is_uncovered
            self.overloaded += decision.rung in OVERLOADED or not (is_below or is_above or is_uncovered)
        if not entry.is_refused:
            self.stands(decision.configuration, entry.observation.time_s)

    def stands(self, configuration: Configuration, since_s: float) -> None:
        """Add a configuration that is in force from `since_s` on."""
        figures = self._figures(configuration)
        self._since_s.append(since_s)
        self._cores.append(figures.cores)
        self._accuracy.append(figures.accuracy)
        if configuration != self._in_force:
            self.changes += self._in_force is not None
            self._in_force = configuration

    def _figures(self, configuration: Configuration) -> Figures:
        if self._latest is None or self._latest[0] != configuration:
            variants = tuple([configuration[name].variant for name in self._names])
            if variants not in self._accuracies:
                self._accuracies[variants] = configured_accuracy(self._pipeline, configuration)
            accuracy = self._accuracies[variants]
            is_enough = self._goal.is_accurate_enough(self._pipeline, configuration, accuracy)
            self._latest = configuration, Figures(float(configured_cores(configuration)), accuracy, is_enough)
        return self._latest[1]

    def mean_cores(self, duration_s: float) -> float:
        """The mean over time of the decided cores."""
        return self._time_mean(self._cores, duration_s)

    def mean_accuracy(self, duration_s: float) -> float:
        """The mean over time of the decided accuracy."""
        return self._time_mean(self._accuracy, duration_s)

    def _time_mean(self, values: list[float], duration_s: float) -> float:
        until_s = [*self._since_s[1:], duration_s]
        return fsum(map(mul, map(sub, until_s, self._since_s), values)) / duration_s


class LatestEntry(Journal):
    """A journal that keeps only its latest entry; each entry's figures for the summary go to `planned`."""

    def __init__(self, planned: Planned) -> None:
        super().__init__()
        self._planned = planned

    def decided(self, entry: Entry) -> None:
        """Record a decision in place of the previous one."""
        self.entries = [entry]

    def answered(self, outcome: Applied) -> None:
        """Add the backend's answer, which says whether the decision is in force."""
        super().answered(outcome)
        self._planned.decided(self.entries[-1])

"""A backend whose metrics come late: a policy sees the replicas of now, and what was measured some time ago."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Protocol

from ipa.policies import Applied, Configuration, Observation

TOLERANCE_S = 1e-9
"""Times of steps are sums of intervals, so one that is due may be this much later."""


class ObservedBackend(Protocol):
    """A backend as the control loop knows it."""

    def observe(self) -> Observation: ...

    def apply(self, configuration: Configuration) -> Applied: ...


class LateMetrics:
    """Another backend, whose load and measurements are seen `delay_s` later.

    At a time t a policy sees those of the latest step at or before t - `delay_s`; until there is one, those of `first`,
    the observation at the start. The clock, the configuration, the replicas, what has failed and the limit of cores are
    those of t, as is the load to come, which no metric has.
    """

    def __init__(self, backend: ObservedBackend, delay_s: float, first: Observation) -> None:
        self._backend = backend
        self._delay_s = delay_s
        self._measured = deque([first])

    def observe(self) -> Observation:
        """What is known now."""
        now = self._backend.observe()
        self._measured.append(now)
        due_s = now.time_s - self._delay_s + TOLERANCE_S
        while len(self._measured) > 1 and self._measured[1].time_s <= due_s:
            self._measured.popleft()
        return _with_metrics(now, self._measured[0])

    def apply(self, configuration: Configuration) -> Applied:
        """As the backend does."""
        return self._backend.apply(configuration)


def _with_metrics(now: Observation, measured: Observation) -> Observation:
    """An observation with the load and the measurements of an earlier one."""
    return replace(
        now,
        load_rps=measured.load_rps,
        sample_age_s=measured.sample_age_s,
        elapsed_s=measured.elapsed_s,
        past_rps=measured.past_rps,
        latency=measured.latency,
        stages={
            name: replace(
                measured.stages[name],
                configuration=stage.configuration,
                replicas=stage.replicas,
                failed_variants=stage.failed_variants,
            )
            for name, stage in now.stages.items()
        },
    )

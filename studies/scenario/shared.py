"""A cache of what runs in one process share, so that it is loaded, drawn or computed once.

Each entry depends only on its key, a part of the scenario, so a run gets the same as without the cache. The cache is
bounded; the least recently used entry is discarded first.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from ipa import profiles
from ipa.policies import POLICIES, OptimisingPolicy, Outlook, Policy, facts_of
from ipa.profiles import Pipeline
from ipa.sim import FloatArray, StageModel
from ipa.studies.scenario.inputs import arrivals_of, load_of, models_of, pipeline_of, policy_of
from ipa.studies.scenario.scenario import Scenario
from ipa.traces import Trace

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

MOST_PIPELINES = 32
MOST_POLICIES = 16
"""The most policies kept, each with up to some thousand answers."""
MOST_LOADS = 128
MOST_NUMBERS = 2**16
"""The most numbers of a load that is kept, or of its arrivals: half a megabyte."""

POLICY_FILES = (".py", ".npz")
"""Endings of files in a policy's name or parameters; such a file may change before the next run."""


class BoundedCache(Generic[K, V]):
    """At most `most` values by key; values that are not `small` are made anew each time."""

    def __init__(self, most: int, small: Callable[[V], bool] = lambda _: True) -> None:
        self._most = most
        self._small = small
        self._things: dict[K, V] = {}

    def get(self, key: K, make: Callable[[], V]) -> V:
        """The value for a key, made if need be."""
        value = self._things.pop(key, None)
        if value is None:
            value = make()
            if not self._small(value):
                return value
            if len(self._things) >= self._most:
                del self._things[next(iter(self._things))]
        self._things[key] = value
        return value


@dataclass(frozen=True)
class ServedPolicies:
    """A pipeline with the limits of a scenario, and the cache of its stages as the engines see them."""

    pipeline: Pipeline
    models: BoundedCache[Hashable, tuple[StageModel, ...]]


class Shared:
    """A cache of pipelines, policies with their earlier answers, forecasts, and loads with their arrivals.

    Successive runs cost least if they differ in few of these.
    """

    def __init__(self) -> None:
        self._served: BoundedCache[Hashable, ServedPolicies] = BoundedCache(MOST_PIPELINES)
        self._policies: BoundedCache[Hashable, Policy] = BoundedCache(MOST_POLICIES)
        self._outlooks: BoundedCache[Hashable, Outlook] = BoundedCache(MOST_POLICIES)
        self._traces: BoundedCache[Hashable, Trace] = BoundedCache(
            MOST_LOADS, lambda trace: len(trace.load) <= MOST_NUMBERS
        )
        self._arrivals: BoundedCache[Hashable, FloatArray] = BoundedCache(
            MOST_LOADS, lambda times_s: len(times_s) <= MOST_NUMBERS
        )

    def pipeline(self, scenario: Scenario) -> Pipeline:
        """The scenario's pipeline with its limits. Raises as `profiles.load` and `Pipeline.with_limits`."""
        return self._served_as(_pipeline_key(scenario), scenario).pipeline

    def models(self, scenario: Scenario) -> tuple[StageModel, ...]:
        """The stages of the scenario as the engines see them."""
        served = self._served_as(_pipeline_key(scenario), scenario)
        settings = (
            scenario.service_times,
            scenario.dispatch_overhead_s,
            scenario.start_up_extra_s,
            scenario.service_factor,
        )
        return served.models.get(settings, lambda: models_of(scenario, served.pipeline))

    def policy(self, scenario: Scenario) -> Policy:
        """The scenario's policy; a shipped one is shared by all equal runs. Raises as `policies.create`."""
        pipeline_key = _pipeline_key(scenario)
        pipeline = self._served_as(pipeline_key, scenario).pipeline
        name = scenario.policy.name
        try:
            text = json.dumps([name, scenario.policy.parameters], sort_keys=True, allow_nan=False)
        except (TypeError, ValueError):
            return policy_of(scenario, pipeline)
        if any(ending in text for ending in POLICY_FILES):
            return policy_of(scenario, pipeline)

        def new_policy() -> Policy:
            policy = policy_of(scenario, pipeline)
            if isinstance(policy, OptimisingPolicy):
                forecasts = json.dumps(policy.outlook.parameters, sort_keys=True)
                policy.outlook.share(self._outlooks.get(forecasts, lambda: policy.outlook))
            return policy

        facts = tuple(getattr(scenario, fact) for fact in facts_of(name))
        policy = self._policies.get((pipeline_key, text, facts), new_policy)
        # A policy of the user may keep state that must not be shared.
        return policy if POLICIES.name_of(type(policy)) else policy_of(scenario, pipeline)

    def trace(self, scenario: Scenario) -> Trace:
        """The scenario's load. Raises as `Load.trace`."""
        load = load_of(scenario)
        key = load.key
        return load.trace() if key is None else self._traces.get(key, load.trace)

    def arrivals(self, scenario: Scenario, trace: Trace) -> FloatArray:
        """When the requests of the scenario's load arrive; shape (requests,), sorted, in [0, duration), read-only."""
        key = load_of(scenario).key
        if key is None:
            return arrivals_of(scenario, trace)
        arrivals_s = self._arrivals.get((key, scenario.arrivals, scenario.seed), lambda: arrivals_of(scenario, trace))
        arrivals_s.setflags(write=False)
        return arrivals_s

    def _served_as(self, pipeline_key: Hashable, scenario: Scenario) -> ServedPolicies:
        return self._served.get(
            pipeline_key, lambda: ServedPolicies(pipeline_of(scenario), BoundedCache(MOST_PIPELINES))
        )


def _pipeline_key(scenario: Scenario) -> Hashable:
    path = Path(scenario.pipeline)
    state = path.stat() if scenario.pipeline not in profiles.names() and path.exists() else None
    changed = None if state is None else (state.st_mtime_ns, state.st_size)
    keys = {"limits", "guards", "price_per_core", "price_per_gpu", "limit_gpus", "start_up_s", "profile_factors"}
    limits = scenario.model_dump_json(include=keys)
    return (scenario.pipeline, changed, scenario.sla_s, tuple(sorted(scenario.drop_limits_s.items())), limits)

"""The one seam that everything hangs on: what a policy sees, what it answers, and what carries it out.

A policy is asked at every control step. It gets an `Observation` (all it may know, the time included) and the memory it
handed back last time, and answers with a `Decision`. It keeps nothing in itself, so one object serves many runs, and
the same observation and memory give the same decision in simulation and on a cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from ipa.errors import InputError

OBSERVATION_SCHEMA_VERSION = 2

Memory = Mapping[str, Any]
"""What a policy hands from one decision to the next: JSON-able, empty at the start."""

COSTLY_FIELDS = ("latency", "busy_fraction", "concurrency", "future_rps")
"""Fields of an observation that a simulation computes only for a policy that names them in `reads`."""


class PolicyError(InputError):
    """A policy, a parameter of one, or an answer of one that cannot be used; the text says what is allowed."""


@dataclass(frozen=True, slots=True)
class StageConfiguration:
    """What one stage is asked to be: `replicas` copies of `variant` with `cores` each, batches of up to `batch`."""

    variant: str
    batch: int
    replicas: int
    batch_timeout_s: float
    cores: int

    @property
    def total_cores(self) -> int:
        """The cores of all desired replicas."""
        return self.replicas * self.cores


Configuration = Mapping[str, StageConfiguration]
"""Stage name -> what the stage is asked to be."""


@dataclass(frozen=True, slots=True)
class ReplicaCounts:
    """How many replicas of one variant exist at a stage, by state."""

    starting: int = 0
    ready: int = 0
    draining: int = 0


@dataclass(frozen=True, slots=True)
class LatencyQuantiles:
    """Quantiles of what completed since the last step, in seconds; all NaN where nothing completed."""

    p50_s: float
    p95_s: float
    p99_s: float


NO_LATENCY = LatencyQuantiles(float("nan"), float("nan"), float("nan"))
"""The quantiles of nothing."""


@dataclass(frozen=True, slots=True)
class StageObservation:
    """One stage since the last control step; counts are of requests, `configuration` is the desired one.

    A request that has entered the stage and not left it is in `in_service` where its batch has started, else in
    `queue_length`: also where its batch is formed and waits at a replica (eager dispatch). `concurrency`: how many of
    both there were on average since the step before; where no time has passed, how many there are.
    """

    configuration: StageConfiguration
    arrivals: int
    completions: int
    drops: int
    failures: int
    queue_length: int
    in_service: int
    replicas: Mapping[str, ReplicaCounts]
    busy_fraction: float | None = None
    latency: LatencyQuantiles | None = None
    failed_variants: tuple[str, ...] = ()
    concurrency: float | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything a policy may know at one control step.

    `load_rps` holds per-second counts of the last window, newest last; NaN means no sample, never zero.
    `future_rps` (simulation only, for policies that read it) holds the counts of the seconds to come, soonest first.
    `elapsed_s` are the seconds since the step before, or since the start; 0: none. `time_s` may begin anew where a
    controller goes on from a journal.
    """

    pipeline: str
    step: int
    seed: int
    time_s: float
    load_rps: tuple[float, ...]
    sample_age_s: float
    limit_cores: int | None
    stages: Mapping[str, StageObservation]
    latency: LatencyQuantiles | None = None
    future_rps: tuple[float, ...] | None = None
    schema_version: int = OBSERVATION_SCHEMA_VERSION
    elapsed_s: float = 0.0

    @property
    def configuration(self) -> Configuration:
        """The desired configuration of every stage."""
        return {name: stage.configuration for name, stage in self.stages.items()}

    @property
    def is_silent(self) -> bool:
        """Whether nothing was sampled since the step before: what the stages' counts say then is unknown, not zero."""
        return self.sample_age_s >= self.elapsed_s > 0


@dataclass(frozen=True, slots=True)
class Decision:
    """A configuration, the memory to hand back next time, and the why.

    `rung` is "optimal" or the name of the fallback that produced the configuration, `binding` the constraint that
    kept a better one out. `objective` holds the parts that the policy weighed. All of it lands in the journal and the
    tables.
    """

    configuration: Configuration
    memory: Memory
    forecast_rps: float | None = None
    planned_load_rps: float | None = None
    objective: Mapping[str, float] | None = None
    binding: str | None = None
    rung: str = "optimal"
    feasible: bool = True
    notes: tuple[str, ...] = ()


@runtime_checkable
class Policy(Protocol):
    """Anything that decides. `reads` (optional, default empty) names the `COSTLY_FIELDS` it needs."""

    def decide(self, observation: Observation, memory: Memory) -> Decision:
        """The decision for this step: a pure function of the two arguments."""
        ...


class Predictor(Protocol):
    """Anything that forecasts the load; `reads` as in `Policy`."""

    reads: tuple[str, ...]

    def predict(self, observation: Observation) -> float:
        """The load to plan for [rps]; NaN when no sample of the window is there."""
        ...


@dataclass(frozen=True, slots=True)
class Applied:
    """How a backend answered a configuration: accepted or refused, and why."""

    accepted: bool
    reason: str = ""


class Backend(Protocol):
    """A world to control: the simulator, processes on one machine, a cluster."""

    def observe(self) -> Observation:
        """The present observation."""
        ...

    def apply(self, configuration: Configuration) -> Applied:
        """Ask for a configuration; returns at once, the backend converges on its own."""
        ...


def reads(decider: object) -> tuple[str, ...]:
    """The costly fields a policy or predictor needs; PolicyError names one that does not exist."""
    wanted = tuple(getattr(decider, "reads", ()))
    for field in wanted:
        if field not in COSTLY_FIELDS:
            raise PolicyError(f"{type(decider).__name__}.reads names {field!r}; allowed: {', '.join(COSTLY_FIELDS)}")
    return wanted

"""The interface between policies and backends: observations, decisions, and what carries decisions out.

At every control step, a policy gets an `Observation` (everything it may know, including the time) and the memory that
it returned last time, and returns a `Decision`. It has no state of its own, so one object serves many runs, and the
same observation and memory give the same decision in simulation and on a cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from ipa.errors import InputError
from ipa.policies.forecast import Forecast

OBSERVATION_SCHEMA_VERSION = 3

Memory = Mapping[str, Any]
"""What a policy passes from one decision to the next. It must be JSON-able, and is empty at the start."""

COSTLY_FIELDS = ("latency", "busy_fraction", "concurrency", "future_rps", "peak_rps", "past_rps")
OF_THE_FUTURE = ("future_rps", "peak_rps")
"""Fields of an observation that a simulation computes only for policies that name them in `reads`; those that only a
simulation has, because they tell the load to come."""


FACTS = ("interval_s", "decision_delay_s", "dispatch")
"""Keys of the scenario that are passed as parameters to policies whose class names them in `facts`. Other facts of the
environment, such as start-up times, are in the pipeline."""


class PolicyError(InputError):
    """A policy, one of its parameters or one of its answers that cannot be used. The text says what is allowed."""


@dataclass(frozen=True, slots=True)
class StageConfiguration:
    """The desired state of one stage: `replicas` copies of `variant` with `cores` each, and batches up to `batch`."""

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
"""Stage name -> what is wanted of the stage."""


@dataclass(frozen=True, slots=True)
class ReplicaCounts:
    """How many replicas of one variant exist at a stage, by state."""

    starting: int = 0
    ready: int = 0
    draining: int = 0


@dataclass(frozen=True, slots=True)
class LatencyQuantiles:
    """Latency quantiles of what has completed since the last step, in seconds; all NaN if nothing has."""

    p50_s: float
    p95_s: float
    p99_s: float


NO_LATENCY = LatencyQuantiles(float("nan"), float("nan"), float("nan"))
"""The quantiles of nothing."""


@dataclass(frozen=True, slots=True)
class StageObservation:
    """One stage since the last control step. Counts are of requests; `configuration` is the desired one.

    A request that is at the stage counts in `in_service` once its batch has started, and before that in `queue_length`,
    even if its batch is formed and waits at a replica (eager dispatch). `concurrency` is the average of their sum since
    the last step, or their sum now if no time has passed.
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

    `load_rps` holds the counts of the last window's seconds, newest last. NaN means no sample, never zero. `future_rps`
    (only in simulation, and for policies that read it) holds the counts of the seconds to come, soonest first;
    `peak_rps` (likewise) is the mean of the busiest minute of the whole run.
    `past_rps` (for policies that read it) holds the counts of the seconds before those of `load_rps`, newest last, up
    to three days; only the first observations of a run have them, later ones are empty, as a policy remembers what it
    needs of them. `limit_cores`, `limit_gpus`: the most that a decision may take; None: no more limits than the
    pipeline's. `clock_s`: the time on the wall clock, in seconds since 1970;
    None where the load has no clock. `elapsed_s`: the seconds since the previous step, or since the start; may be 0.
    `time_s` may restart from 0 when a controller resumes from a journal.
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
    past_rps: tuple[float, ...] | None = None
    clock_s: float | None = None
    peak_rps: float | None = None
    limit_gpus: int | None = None

    @property
    def configuration(self) -> Configuration:
        """The desired configuration of every stage."""
        return {name: stage.configuration for name, stage in self.stages.items()}

    @property
    def is_silent(self) -> bool:
        """Whether nothing has been sampled since the previous step; the stages' counts are then unknown, not zero."""
        return self.sample_age_s >= self.elapsed_s > 0


@dataclass(frozen=True, slots=True)
class Decision:
    """A configuration, the memory to pass to the next decision, and the reasons.

    `rung` is "optimal" or the name of the fallback that produced the configuration; `binding` is the constraint that
    ruled out a better one. `objective` holds the parts that the policy weighed. All of this goes into the journal and
    the tables. `why`, JSON-able, goes into the journal alone: what else there is to say, where somebody asked for it. A
    decision is the same whatever it says.
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
    why: Mapping[str, Any] | None = field(default=None, compare=False)


@runtime_checkable
class Policy(Protocol):
    """Anything that decides. The optional attribute `reads` names the `COSTLY_FIELDS` that it needs. A class may name
    in `facts` the `FACTS` of the run that it takes as parameters."""

    def decide(self, observation: Observation, memory: Memory) -> Decision:
        """The decision for this step: a pure function of the two arguments."""
        ...


class Predictor(Protocol):
    """Anything that forecasts the load.

    One that sees nothing but `load_rps` may have `forecast_many(load_rps, horizon_s) -> list[Forecast]`, of an array of
    shape (forecasts, seconds): a simulation then asks for many at once. They must be the same numbers, bit for bit.
    """

    @property
    def reads(self) -> tuple[str, ...]:
        """The costly fields of an observation that it needs."""
        ...

    def forecast(self, observation: Observation, horizon_s: float) -> Forecast:
        """The distribution of the load of the busiest of the next `horizon_s` seconds, a pure function of the two.

        Missing (its point is NaN) if the window has no sample.
        """
        ...


@dataclass(frozen=True, slots=True)
class Applied:
    """How a backend answered a configuration: accepted or refused, and why."""

    accepted: bool
    reason: str = ""


class Backend(Protocol):
    """A world to control: the simulator, processes on one machine, or a cluster."""

    def observe(self) -> Observation:
        """What is to be seen now."""
        ...

    def apply(self, configuration: Configuration) -> Applied:
        """Ask for a configuration. Returns at once; the backend converges on its own."""
        ...


def reads(decider: object) -> tuple[str, ...]:
    """The costly fields that a policy or predictor needs. PolicyError: one of them does not exist."""
    return _named(type(decider).__name__, "reads", getattr(decider, "reads", ()), COSTLY_FIELDS)


def knows_future(policy: object) -> bool:
    """Whether a policy knows the load to come, and so bounds what others can achieve. PolicyError as `reads`."""
    return not set(OF_THE_FUTURE).isdisjoint(reads(policy))


def facts(kind: object) -> tuple[str, ...]:
    """The facts of a run that a class of policies takes as parameters. PolicyError: one of them does not exist."""
    return _named(getattr(kind, "__name__", repr(kind)), "facts", getattr(kind, "facts", ()), FACTS)


def _named(owner: str, attribute: str, named: object, allowed: Sequence[str]) -> tuple[str, ...]:
    if isinstance(named, str) or not isinstance(named, Iterable):
        raise PolicyError(f"{owner}.{attribute} is {named!r}; allowed: a tuple of names out of {', '.join(allowed)}")
    names = tuple(named)
    for name in names:
        if name not in allowed:
            raise PolicyError(f"{owner}.{attribute} names {name!r}; allowed: {', '.join(allowed)}")
    return names


Histories = Iterable[tuple[float, ...]]
"""Values of `load_rps` of observations to come."""


def ahead_of(policy: object) -> Callable[[Histories], object] | None:
    """What makes a policy's forecasts ahead, all at once: its own `compute_ahead`, or that of the policy it guards."""
    while policy is not None:
        if callable(compute := getattr(policy, "compute_ahead", None)):
            makes_forecasts: Callable[[Histories], object] = compute
            return makes_forecasts
        policy = getattr(policy, "policy", None)
    return None

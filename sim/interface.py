"""What both engines have in common: how they are run, and what control steps, measurements and records read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ipa.policies import ReplicaCounts, StageConfiguration
from ipa.sim.model import FloatArray, IntArray, StageModel, World
from ipa.sim.resizes import Resizes

BoolArray = npt.NDArray[np.bool_]


class Batches(NamedTuple):
    """Batches in the order in which a stage started them; `requests` holds the members of all, batch after batch."""

    requests: IntArray
    size: IntArray
    start_s: FloatArray
    finish_s: FloatArray
    replica: IntArray

    def followed_by(self, others: Batches) -> Batches:
        """These batches, then the others."""
        columns: list[Any] = [np.concatenate(both) for both in zip(self, others, strict=True)]
        return Batches(*columns)

    def where(self, chosen: BoolArray) -> Batches:
        """The chosen batches; shape of `chosen`: (batches,)."""
        return Batches(
            self.requests[np.repeat(chosen, self.size)],
            self.size[chosen],
            self.start_s[chosen],
            self.finish_s[chosen],
            self.replica[chosen],
        )


class Drops(NamedTuple):
    """The requests dropped at a stage, and when."""

    requests: IntArray
    dropped_s: FloatArray


class Handover(NamedTuple):
    """What has happened at a stage since its last handover, in order; the first stage comes first.

    `variant` holds, for each batch, the position of its variant in the stage's model. Whatever starts, finishes or is
    dropped before `before_s` has been handed over by now; some of the batches here may finish later.
    """

    stage: int
    before_s: float
    batches: Batches
    variant: IntArray
    drops: Drops


class Replicas(NamedTuple):
    """The replicas of a stage by number; infinity for what has not happened.

    `cores` are those at creation. `finish_s`: when the last batch ends.
    """

    variant: tuple[str, ...]
    cores: IntArray
    created_s: FloatArray
    ready_s: FloatArray
    removed_s: FloatArray
    finish_s: FloatArray
    resizes: Resizes


class EngineStage(Protocol):
    """One stage of an engine, during the run or after it."""

    @property
    def model(self) -> StageModel: ...

    @property
    def configuration(self) -> StageConfiguration:
        """The desired configuration."""
        ...

    @property
    def configured(self) -> Sequence[tuple[float, int]]:
        """The batch sizes that have been in force, as (since when, size)."""
        ...

    @property
    def enqueued(self) -> int:
        """How many requests have been put in the queue; at the first stage, all of the run's."""
        ...

    @property
    def completions(self) -> int: ...

    @property
    def dropped(self) -> int: ...

    @property
    def in_service(self) -> int:
        """How many requests are being served, draining replicas included."""
        ...

    @property
    def enqueued_sum_s(self) -> float:
        """The sum of the times at which requests were enqueued."""
        ...

    @property
    def left_sum_s(self) -> float:
        """The sum of the times at which requests left, served or dropped."""
        ...

    def enqueued_before(self, now_s: float) -> int:
        """How many requests were enqueued before `now_s` (first stage) or have been so far (later stages)."""
        ...

    def waiting(self, now_s: float) -> int:
        """How many requests wait, in the queue or in batches formed at replicas, including those that arrive now."""
        ...

    def replica_counts(self, now_s: float) -> Mapping[str, ReplicaCounts]:
        """How many replicas of each variant exist, by state."""
        ...

    def batch_log(self, since: int = 0) -> Batches:
        """The batches from number `since` on."""
        ...

    def drop_log(self) -> Drops: ...

    def replica_log(self) -> Replicas: ...


class Engine(Protocol):
    """One run of the model. Build it, `run` it once, then read its stages."""

    @property
    def world(self) -> World: ...

    @property
    def arrivals_s(self) -> FloatArray: ...

    @property
    def stages(self) -> Sequence[EngineStage]: ...

    @property
    def now_s(self) -> float: ...

    @property
    def end_s(self) -> float: ...

    def run(self, control_times_s: Iterator[float], on_control: Callable[[], object]) -> None:
        """Run to the end, calling `on_control` at each of the times, which must rise."""
        ...

    def apply(self, configuration: Mapping[str, StageConfiguration]) -> None:
        """Put a decision made now into effect, after the world's decision delay."""
        ...

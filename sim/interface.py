"""The interface of both engines: how they are run, and what control steps, measurements and records read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ipa.policies import ReplicaCounts, StageConfiguration
from ipa.sim.model import FloatArray, IntArray, StageModel, World

BoolArray = npt.NDArray[np.bool_]


class Batches(NamedTuple):
    """Batches in the order in which a stage started them; `requests` holds all their members, batch after batch.

    At a stage of language models, a batch is one request at a replica; its finish is infinity until it has left.
    """

    requests: IntArray
    size: IntArray
    start_s: FloatArray
    finish_s: FloatArray
    replica: IntArray

    def followed_by(self, others: Batches) -> Batches:
        """These batches, then the others."""
        columns: list[Any] = [np.concatenate(columns_of_both) for columns_of_both in zip(self, others, strict=True)]
        return Batches(*columns)

    def where(self, chosen: BoolArray) -> Batches:
        """The chosen batches; shape of `chosen`: (batches,)."""
        if chosen.all():
            return self
        return Batches(
            self.requests[np.repeat(chosen, self.size)],
            self.size[chosen],
            self.start_s[chosen],
            self.finish_s[chosen],
            self.replica[chosen],
        )

    def apart(self, chosen: BoolArray) -> tuple[list[Batches], Batches]:
        """The chosen batches, in one or two parts, and the others; shape of `chosen`: (batches,).

        The leading chosen ones, nearly all of them as a rule, are not copied.
        """
        first = len(chosen) if chosen.all() else int(chosen.argmin())
        requests = int(self.size[:first].sum())
        leading, rest = self._part(slice(first), slice(requests)), self._part(slice(first, None), slice(requests, None))
        later = chosen[first:]
        return [leading, rest.where(later)] if later.any() else [leading], rest.where(~later)

    def _part(self, batches: slice, requests: slice) -> Batches:
        columns: list[Any] = [column[batches] for column in self[1:]]
        return Batches(self.requests[requests], *columns)


class Drops(NamedTuple):
    """The requests that left a stage unserved, and when.

    `finish_s`: NaN for a dropped request. For a request that failed with its replica: when its batch would have
    finished, or infinity if the batch had not started; the batch logs keep the planned times. At a stage of language
    models: when it failed.
    """

    requests: IntArray
    dropped_s: FloatArray
    finish_s: FloatArray

    @property
    def failed(self) -> BoolArray:
        return ~np.isnan(self.finish_s)

    def goes_on(self, batches: Batches) -> BoolArray:
        """For each batch, whether it has not failed; its requests fail all together or not at all."""
        failed = self.requests[self.failed]
        if not len(failed):
            return np.ones(len(batches.size), dtype=bool)
        return ~np.isin(batches.requests[np.cumsum(batches.size) - batches.size], failed)


class Handover(NamedTuple):
    """What has happened at a stage since its last handover, in order; stages hand over first to last.

    `variant` is the position of each batch's variant in the stage's model. All starts, finishes and drops before
    `before_s` have been handed over; some of these batches may finish later.
    """

    stage: int
    before_s: float
    batches: Batches
    variant: IntArray
    drops: Drops


class Replicas(NamedTuple):
    """The replicas of a stage by number; infinity for events that have not happened. `finish_s`: when the last batch
    ends."""

    variant: tuple[str, ...]
    cores: IntArray
    created_s: FloatArray
    ready_s: FloatArray
    removed_s: FloatArray
    finish_s: FloatArray


class TokenLog(NamedTuple):
    """The tokens of the requests of a stage of language models, by number; in a graph, of its items. Shape (requests,).

    `input`: of the prompt. `output`: to be generated, and `generated` of them so far. `first_s`: when the first was
    there; NaN if it was not.
    """

    input: IntArray
    output: IntArray
    generated: IntArray
    first_s: FloatArray

    def where(self, chosen: IntArray | BoolArray | slice) -> TokenLog:
        """Those of the chosen requests."""
        columns: list[Any] = [column[chosen] for column in self]
        return TokenLog(*columns)


class StepLog(NamedTuple):
    """The steps of the replicas of a stage of language models, by replica; shape (replicas,).

    `stepped_s`: how long all its steps took, up to now. Of any step, the most tokens computed, blocks in use and
    sequences running, and the limit of each. `block_tokens`: how many tokens a block holds.
    """

    stepped_s: FloatArray
    tokens: IntArray
    blocks: IntArray
    sequences: IntArray
    block_tokens: IntArray
    most_tokens: IntArray
    most_blocks: IntArray
    most_sequences: IntArray


class RoomLack(NamedTuple):
    """How often, and for how many seconds, a stage lacked room within the limits for a replica."""

    times: int
    lasted_s: float


class Held(NamedTuple):
    """The cores, or GPUs, that exist at a stage; its replicas of the configured variant and cores that are not
    draining; and the most that may exist under the latest decision that has taken effect (0 before any)."""

    units: int
    current: int
    budget: int

    def most(
        self,
        in_force: StageConfiguration,
        decided: StageConfiguration | None = None,
        units_of: Callable[[StageConfiguration], int] = attrgetter("cores"),
    ) -> int:
        """The most that may come to exist, under the configuration in force and, after it, the decided one.

        `units_of`: what one replica takes. Replicas of a configuration stay as long as it does, so of an unchanged
        variant only those are created that lack.
        """
        units_of_one = units_of(in_force)
        growing = min(max(self.budget - self.units, 0), units_of_one * max(in_force.replicas - self.current, 0))
        if decided is None:
            return self.units + growing
        if (decided.variant, decided.cores) == (in_force.variant, in_force.cores):
            lacking = max(in_force.replicas, decided.replicas) - self.current
            return self.units + units_of_one * max(lacking, 0)
        return self.units + growing + decided.replicas * units_of(decided)


class Seen(NamedTuple):
    """What a control step sees of a stage: counts of requests since the start of the run, and its present state.

    `entered`: requests enqueued before now (first stage) or up to now (later stages). `waiting`: requests that wait in
    the queue or in batches formed at replicas, including those that arrive now. `in_service`: requests being served,
    also by draining replicas. `replicas`: replicas of each variant by state. `failed`: requests that failed with
    removed replicas; they do not count as dropped.
    """

    entered: int
    completions: int
    dropped: int
    waiting: int
    in_service: int
    replicas: Mapping[str, ReplicaCounts]
    failed: int = 0


class EngineStage(Protocol):
    """One stage of an engine, during the run or after it."""

    @property
    def position(self) -> int: ...

    @property
    def is_entry(self) -> bool:
        """Whether requests arrive here from outside."""
        ...

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
        """How many requests have been enqueued; at the first stage, all requests of the run."""
        ...

    @property
    def completions(self) -> int: ...

    @property
    def dropped(self) -> int:
        """How many requests have left unserved: dropped or failed."""
        ...

    @property
    def enqueued_sum_s(self) -> float:
        """The sum of the times at which requests were enqueued."""
        ...

    @property
    def left_sum_s(self) -> float:
        """The sum of the times at which requests left, served or not."""
        ...

    def seen(self, now_s: float) -> Seen:
        """What a control step at `now_s`, the engine's current time, sees of the stage."""
        ...

    def held(self, resource: str, now_s: float) -> Held:
        """How much of a resource exists of the stage at `now_s`, the engine's current time, and may come to exist."""
        ...

    def batch_log(self, since: int = 0) -> Batches:
        """The batches from number `since` on."""
        ...

    def drop_log(self, since: int = 0) -> Drops:
        """The drops from number `since` on."""
        ...

    def replica_log(self) -> Replicas: ...

    def token_log(self) -> TokenLog | None:
        """The tokens of its requests; None unless it is a stage of language models, as for `step_log`."""
        ...

    def step_log(self, now_s: float) -> StepLog | None:
        """What its replicas did in steps until `now_s`, the engine's current time."""
        ...

    def room_lack_until(self, now_s: float) -> RoomLack:
        """How often and how long the stage has lacked room for its replicas, within the run's duration."""
        ...


class Engine(Protocol):
    """One run of the model. Build it, go through its `steps` once, then read its stages.

    `limits`: resource -> the most that may exist, for decisions made from now on; the world's unless they are set.
    """

    limits: Mapping[str, int]

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

    def steps(self, control_times_s: Iterator[float]) -> Iterator[float]:
        """Run to the end and stop at each of the times, which must be ascending; yields each time."""
        ...

    def apply(self, configuration: Mapping[str, StageConfiguration]) -> None:
        """Put a decision made now into effect, after the world's decision delay."""
        ...


def handovers(engine: Engine) -> Iterator[Handover]:
    """All that has happened in a finished run whose engine has kept everything, stage by stage."""
    for stage in engine.stages:
        variants = list(stage.model.start_up_s)
        of_replica = np.array([variants.index(name) for name in stage.replica_log().variant], dtype=np.int64)
        batches = stage.batch_log()
        yield Handover(stage.position, engine.end_s, batches, of_replica[batches.replica], stage.drop_log())


def arrived(arrivals_s: FloatArray, now_s: float) -> tuple[int, int]:
    """How many requests have arrived before `now_s`, and how many up to and including `now_s`."""
    by_now = int(arrivals_s.searchsorted(now_s, "right"))
    if by_now and arrivals_s[by_now - 1] == now_s:
        return int(arrivals_s.searchsorted(now_s)), by_now
    return by_now, by_now

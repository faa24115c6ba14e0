"""The memory of a run of the compiled engine: arrays of records that the kernel and the engine both read and write.

The fields of the records are the state of the model, which the SimPy engine keeps in objects. Index s is a
stage's position. Replicas, requests and batches are indexed by number. `NEVER` is the time of an event that has not
happened; -1 stands for no number. Numbers by which the kernel indexes arrays at every event are unsigned 32-bit
integers, because numba checks the sign of signed ones; convert them to signed integers before taking a difference.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from math import exp, prod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ipa.profiles import LanguageModel
from ipa.sim import rules
from ipa.sim.model import GPUS, ServiceTime, StageModel
from ipa.sim.streams import BLOCK

MOST_KEPT_BYTES = 128 * 2**20
"""The most memory that a process keeps between runs."""

Kind = tuple[tuple[int, ...], npt.DTypeLike]
"""An array's shape and type."""

_ALIGNMENT = 64
_kept: list[npt.NDArray[np.uint8]] = []  # by rising size


class _Lease(np.ndarray[Any, Any]):
    """A block in use. Every array carved from it refers to the lease; once none is left, the block is free again."""


def carve(kinds: Sequence[Kind]) -> list[npt.NDArray[Any]]:
    """Uninitialised arrays in one block, a kept or a new one, which is kept once the arrays are gone."""
    sizes = [prod(shape) * np.dtype(dtype).itemsize for shape, dtype in kinds]
    ends = np.cumsum([-(-size // _ALIGNMENT) * _ALIGNMENT for size in sizes]).tolist()
    fits = next((place for place, block in enumerate(_kept) if len(block) >= ends[-1]), None)
    block = np.empty(ends[-1], np.uint8) if fits is None else _kept.pop(fits)
    lease = block.view(_Lease)
    weakref.finalize(lease, _keep, block).atexit = False
    # Slices of the lease: from a whole one, numpy would let an array refer to the block itself.
    parts = [lease[begin : begin + size] for begin, size in zip([0, *ends[:-1]], sizes, strict=True)]
    return [part.view(np.ndarray).view(dtype).reshape(shape) for part, (shape, dtype) in zip(parts, kinds, strict=True)]


def _keep(block: npt.NDArray[np.uint8]) -> None:
    _kept.append(block)
    _kept.sort(key=len)
    while sum(map(len, _kept)) > MOST_KEPT_BYTES:
        _kept.pop(0 if len(block) <= MOST_KEPT_BYTES else -1)


RecordArray = npt.NDArray[Any]

# Typed numbers: numba would compile a function once for each Python literal that it is called with.
_typed: Any = np.arange(9)
COMPLETES, IS_READY, HAS_ROOM = _typed[rules.COMPLETION], _typed[rules.REPLICA], _typed[rules.ROOM]
"""The ranks of the events on a stage's heap."""

FIRST = _typed[0]
"""The first stage."""

EXISTING, DRAINING, IDLE, IDLE_OTHERS = _typed[:4]
"""The rows of `numbers`: starting and ready replicas in order of number; removed ones; two heaps of idle ones.

The first entry of a row is the count of the numbers after it.
"""

STARTING, READY, DRAINED = range(3)
"""The columns of `tally`."""


def record(**fields: str) -> np.dtype[np.void]:
    """The type of a record with these fields."""
    return np.dtype(list(fields.items()), align=True)


RUN = record(
    now_s="f8",  # the time that the kernel has reached
    ended_s="f8",  # when the latest request ended
    duration_s="f8",
    instant_s="f8",  # until then, nothing ends at the instant at which it begins
    hop_s="f8",
    stop_s="f8",
    max_surge="i8",  # -1: the default of the rules
    max_unavailable="i8",
    drops_singly="?",
    loses="?",  # whether the requests of a removed replica fail
    is_limited="?",  # whether there is a limit of cores or GPUs, and then:
    replaces="?",  # whether a rollout without room replaces
    known="i8",  # requests in memory, future ones included
    extended="?",  # whether arrivals have been added since the first stage's timer was set
    applies_from="i8",  # the stages whose new configurations still have to take effect: from this one
    applies_to="i8",  # to this one, exclusive; 0: none
    open="i8",  # items that have not ended
    hands="i8",  # in a graph without hops: the stage whose batch is being handed on, and to how many stages still
    handing="i8",
    made="i8",  # events created so far: the order of simultaneous ones
)
NO_LIMIT = 2**62
"""A budget that is never used up."""

STAGE = record(
    now_s="f8",
    is_entry="?",  # whether requests arrive here
    attempts="?",  # whether it still has to attempt dispatch at this moment
    present="i8",  # items here; at an entry, future ones too
    events="u4",  # number of events on its heap
    is_over="?",  # whether the first event has happened and is only to be removed
    limit_s="f8",  # age limit; by deadline, as of the latest attempt
    variant="i8",
    option="i8",
    batch="i8",
    desired="i8",
    batch_timeout_s="f8",
    timer_s="f8",
    head="u4",  # the beginning and the end of the queue
    tail="u4",
    batches="u4",  # batches started, and the requests in them
    served="u4",
    finished="u4",  # batches finished, and those of them that the next stage has received
    delivered="u4",
    completions="i8",
    drops="u4",  # requests that left unserved
    failed="i8",  # of these, those with a removed replica
    interrupted="i8",  # of the failed, those in service
    enqueued_sum_s="f8",
    left_sum_s="f8",
    draw="u4",  # the index of the next draw in the block of `normals`
    replicas="u4",  # replicas ever created
    formed="i8",  # eager dispatch: batches formed
    chosen="i8",  # the replica that got the last one
    freed="i8",  # the replica that has just finished a batch
    at_replicas="i8",  # requests in batches that wait at a replica
    ready="i8",  # ready replicas
    budget_cores="i8",  # with a limit: the most cores and GPUs that may exist, `NO_LIMIT` of what has none
    budget_gpus="i8",
    lacks_room="?",  # whether replicas are missing for want of room, and then:
    lacks_since_s="f8",
    times_lacked="i8",  # how often room was lacking, and for how long until the last time
    lacked_s="f8",
)
DEADLINE = record(
    sla_s="f8",
    limit_s="f8",  # the drop limit of the stage
    full="i8",  # the size of a full batch of the configured variant, and its latency
    latency_s="f8",
    looked_s="f8",  # when the stage's timer last made an attempt
    ahead_s="f8",  # up to this stage by the slowest way, from the one that looks ahead
)
OPTION = record(start_up_s="f8", variant="i8", max_batch="i8", is_sampled="?", cores="i8", gpus="i8")
SERVICE = record(latency_s="f8", sigma="f8")
REPLICA = record(
    created_s="f8",
    ready_s="f8",
    removed_s="f8",
    finish_s="f8",
    option="i8",
    batch="i8",  # the batch being served
    first="i8",  # eager dispatch: the first and the last batch waiting, each by its first request
    last="i8",
)
EVENT = record(time_s="f8", order="i8", replica="u4")
BATCH = record(start_s="f8", finish_s="f8", end="u4", replica="u4")
DROP = record(dropped_s="f8", finish_s="f8", request="i4")
WAITING = record(enqueued_s="f8", formed="i8", size="i4", behind="i4", next="i4")


class KernelMemory(NamedTuple):
    """The arrays: S stages, N requests, at most R replicas of a stage."""

    run: RecordArray  # RUN (1,)
    stages: RecordArray  # STAGE (S,)
    options: RecordArray  # OPTION: the (variant, cores) of all stages
    service: RecordArray  # SERVICE (options, largest batch + 1)
    arrivals_s: npt.NDArray[np.float64]  # (N,)
    normals: npt.NDArray[np.float64]  # (S, BLOCK)
    tally: npt.NDArray[np.int64]  # (variants of all stages, 3), as of the latest stop
    # (S, 7), by stage, as of the latest stop: requests enqueued before it and up to it (first stage: arrived), in
    # batches started, completed, left unserved, and of the last ones those failed and those interrupted
    counts: npt.NDArray[np.int64]
    queue: npt.NDArray[np.uint32]  # (S, N): requests in order of enqueue
    enqueued_s: npt.NDArray[np.float64]  # (S, N): their times of enqueue
    served: npt.NDArray[np.uint32]  # (S, N): the members of the batches started, one batch after the other
    batches: RecordArray  # BATCH (S, N), in order of start; `end` is the end of its members in `served`
    drops: RecordArray  # DROP (S, N)
    finished: npt.NDArray[np.uint32]  # (S, N): batches in order of completion; not of the last stage
    replicas: RecordArray  # REPLICA (S, R)
    numbers: npt.NDArray[np.uint32]  # (S, 4, 1 + R): replicas by state
    heap: RecordArray  # EVENT (S, 2 R): a replica has at most two future events, one of them the end of its cost

    @property
    def capacity(self) -> int:
        """N."""
        return len(self.arrivals_s)

    @property
    def room(self) -> int:
        """R: how many replicas a stage can have over the run."""
        return int(self.replicas.shape[1])

    def with_room(self, room: int) -> KernelMemory:
        """The same with room for `room` replicas at every stage."""
        stages, before = self.replicas.shape
        replicas = np.zeros((stages, room), REPLICA)
        replicas[:, :before] = self.replicas
        numbers = np.zeros((stages, 4, 1 + room), np.uint32)
        numbers[:, :, : 1 + before] = self.numbers
        heap = np.zeros((stages, 2 * room), EVENT)
        heap[:, : 2 * before] = self.heap
        return self._replace(replicas=replicas, numbers=numbers, heap=heap)

    def with_capacity(self, requests: int) -> KernelMemory:
        """The same with room for `requests` requests, at least as many as now."""
        arrays = {name: extended(getattr(self, name), requests) for name in PER_REQUEST}
        return self._replace(**arrays)


PER_REQUEST = ("arrivals_s", "queue", "enqueued_s", "served", "batches", "drops", "finished")
"""The arrays whose last axis has a place for each request."""


def extended(array: npt.NDArray[Any], requests: int) -> npt.NDArray[Any]:
    """An array with `requests` places along its last axis; unchanged if it is empty (not needed in this run)."""
    before = array.shape[-1]
    if before == 0:
        return array
    longer = np.empty((*array.shape[:-1], requests), array.dtype)
    longer[..., :before] = array
    return longer


def allocate(
    requests: int, stages: int, layout: ReplicaKinds, *, is_eager: bool
) -> tuple[KernelMemory, RecordArray | None]:
    """The memory of a run and, for eager dispatch, the requests in batches that wait at replicas: WAITING (S, N).

    `stages`: their number. The arrays with a place for each request lie in a block that the process keeps for its next
    run.
    """
    kinds: dict[str, Kind] = {
        "arrivals_s": ((requests,), np.float64),
        "queue": ((stages, requests), np.uint32),
        "enqueued_s": ((stages, requests), np.float64),
        "served": ((stages, requests), np.uint32),
        "batches": ((stages, requests), BATCH),
        "drops": ((stages, requests), DROP),
        "finished": ((stages, requests), np.uint32),
        "waiting": ((stages, requests if is_eager else 0), WAITING),
    }
    arrays = dict(zip(kinds, carve(list(kinds.values())), strict=True))
    waiting = arrays.pop("waiting")
    memory = KernelMemory(
        run=np.zeros(1, RUN),
        stages=np.zeros(stages, STAGE),
        options=layout.rows,
        service=layout.service,
        normals=np.empty((stages, BLOCK)),
        tally=np.zeros((layout.variants, 3), np.int64),
        counts=np.zeros((stages, 7), np.int64),
        replicas=np.zeros((stages, 0), REPLICA),
        numbers=np.zeros((stages, 4, 1), np.uint32),
        heap=np.zeros((stages, 0), EVENT),
        **arrays,
    )
    return memory, waiting if is_eager else None


_LEAST_NORMAL = -8.3
"""A lower bound of the normal quantile of the smallest uniform draw, 2^-54."""

MOST_KEPT = 64
"""How many layouts a process keeps, some 100 KB each."""


class ReplicaKind(NamedTuple):
    """A kind of replica; the kernel uses its number among the options of all stages."""

    stage: int
    variant: str
    cores: int


class ReplicaKinds(NamedTuple):
    """The options of all stages, stage by stage, and their figures; the kernel only reads the arrays.

    For each stage, `numbers` maps (variant, cores) to the option's number, `variant_numbers` a variant to its number
    among the variants of all stages, and `first_variants` is the first of these. `shortest_s`: a lower bound of the
    latency of every batch, in doubles.
    """

    options: tuple[ReplicaKind, ...]
    numbers: tuple[Mapping[tuple[str, int], int], ...]
    variant_numbers: tuple[Mapping[str, int], ...]
    first_variants: tuple[int, ...]
    variants: int
    rows: RecordArray  # OPTION (options,)
    service: RecordArray  # SERVICE (options, largest batch + 1)
    shortest_s: float


def layout_of(models: Sequence[StageModel]) -> ReplicaKinds:
    """The layout of these stages."""
    return _layout(tuple(models))


@lru_cache(maxsize=MOST_KEPT)
def _layout(models: tuple[StageModel, ...]) -> ReplicaKinds:
    options = tuple(ReplicaKind(stage, *key) for stage, model in enumerate(models) for key in model.service)
    services = [service for model in models for service in model.service.values()]
    first_variants = (0, *accumulate(len(model.start_up_s) for model in models))
    variant_numbers = tuple(
        {name: number for number, name in enumerate(model.start_up_s, first)}
        for model, first in zip(models, first_variants, strict=False)
    )
    rows = np.zeros(len(options), OPTION)
    table = np.zeros((len(options), max(service.max_batch for service in services) + 1), SERVICE)
    for number, (option, service) in enumerate(zip(options, services, strict=True)):
        start_up_s = models[option.stage].start_up_s[option.variant]
        place = variant_numbers[option.stage][option.variant]
        gpus = models[option.stage].taken(GPUS, option.variant, option.cores)
        is_sampled = service.sigma is not None
        rows[number] = (start_up_s, place, service.max_batch, is_sampled, option.cores, gpus)
        figures = table[number, : service.max_batch + 1]
        figures["latency_s"] = service.latency_s
        if service.sigma is not None:
            figures["sigma"] = service.sigma
    return ReplicaKinds(
        options=options,
        numbers=tuple(
            {(kind.variant, kind.cores): number for number, kind in enumerate(options) if kind.stage == stage}
            for stage in range(len(models))
        ),
        variant_numbers=variant_numbers,
        first_variants=first_variants[:-1],
        variants=first_variants[-1],
        rows=rows,
        service=table,
        shortest_s=min(
            _shortest_s(service, models[option.stage].language.get(option.variant))
            for option, service in zip(options, services, strict=True)
        ),
    )


def _shortest_s(service: ServiceTime, model: LanguageModel | None) -> float:
    """A lower bound of the latency of every batch, as no draw is below `_LEAST_NORMAL`; of a language model, a step."""
    if model is not None:
        return model.step.seconds(1, 0)
    sigmas = service.sigma or (0.0,) * len(service.latency_s)
    return min(
        latency_s * exp(sigma * _LEAST_NORMAL - 0.5 * sigma * sigma)
        for latency_s, sigma in zip(service.latency_s[1:], sigmas[1:], strict=True)
    )

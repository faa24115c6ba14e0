"""The replicas of one stage: which exist, are ready or are idle, and how a rollout changes them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from heapq import heapify, heappop, heappush
from typing import NamedTuple

import numpy as np

from ipa.policies import ReplicaCounts, StageConfiguration
from ipa.sim import rules
from ipa.sim.interface import Replicas
from ipa.sim.model import RESOURCES, FloatArray, IntArray, ServiceTime, StageModel, World
from ipa.sim.rules import NEVER

Batch = list[int]
"""The numbers of the requests in one batch, in queue order."""


class WaitingBatch(NamedTuple):
    """A batch that eager dispatch has formed and that waits at its replica."""

    formed: int
    requests: Batch
    enqueued_s: list[float]


class SimPyReplica:
    """One copy of a variant. `finish_s`: when its latest batch ends, known when that batch starts.

    `units`: resource -> what it takes.
    """

    __slots__ = (
        "batch",
        "cores",
        "created_s",
        "drift",
        "finish_s",
        "is_preferred",
        "latency_s",
        "max_batch",
        "number",
        "ready_s",
        "removed_s",
        "sigma",
        "units",
        "variant",
        "waiting",
    )

    def __init__(
        self,
        number: int,
        variant: str,
        cores: int,
        service: ServiceTime,
        created_s: float,
        units: Mapping[str, int],
    ) -> None:
        self.number = number
        self.variant = variant
        self.cores = cores
        self.units = units
        self.latency_s = service.latency_s
        self.max_batch = service.max_batch
        self.sigma = service.sigma
        # The term that makes the mean of the factor 1, computed once rather than for each batch.
        self.drift = tuple(0.5 * sigma * sigma for sigma in service.sigma or ())
        self.created_s = created_s
        self.ready_s = NEVER
        self.removed_s = NEVER
        self.finish_s = 0.0
        self.batch: Batch | None = None
        self.waiting: deque[WaitingBatch] = deque()
        self.is_preferred = True

    @property
    def is_starting(self) -> bool:
        return self.ready_s == NEVER

    def gone_s(self, stop_s: float) -> float:
        """When it is gone; infinity while it has not been removed."""
        if self.removed_s == NEVER:
            return NEVER
        return rules.gone_s(self.removed_s, self.finish_s, stop_s)


class RolloutResult(NamedTuple):
    """The replicas that one rollout step created and removed, and whether it lacks room for more."""

    created: list[SimPyReplica]
    removed: list[SimPyReplica]
    lacks_room: bool


class ReplicaPool:
    """All replicas that a stage has ever had, in order of creation, and which of them exist or are idle now."""

    def __init__(
        self,
        model: StageModel,
        world: World,
        configuration: StageConfiguration,
    ) -> None:
        self._model = model
        self._world = world
        self.configuration = configuration
        self.all: list[SimPyReplica] = []
        self.existing: list[SimPyReplica] = []  # starting and ready, in order of number
        self.draining: list[SimPyReplica] = []
        self.ready = 0
        self.budgets: Mapping[str, int] = {}  # resource -> the most that may exist; one that is missing has no limit
        self.idle: list[int] = []  # a heap of numbers: ready, idle, of the configured variant
        self.idle_others: list[int] = []  # the same for the other variants
        for _ in range(configuration.replicas):
            self._create(0.0).ready_s = 0.0
        self._sort_idle()

    def take_idle(self) -> SimPyReplica:
        """Take the idle replica that serves next: of the configured variant if possible, the lowest number first."""
        return self.all[heappop(self.idle or self.idle_others)]

    def put_idle(self, replica: SimPyReplica) -> None:
        """Make a replica idle again after a batch, unless it has been removed."""
        if replica.removed_s == NEVER:
            heappush(self.idle if replica.is_preferred else self.idle_others, replica.number)

    def roll_out(self, configuration: StageConfiguration, now_s: float) -> RolloutResult:
        """Take one rollout step towards `configuration`, which becomes the desired one."""
        self.configuration = configuration
        created: list[SimPyReplica] = []
        removed: list[SimPyReplica] = []
        while True:
            lacking = self._step(now_s, created, removed)
            if not lacking or not (self._room(now_s) or self._replace(now_s, removed)):
                break
        self._sort_idle()
        return RolloutResult(created, removed, lacking > 0)

    def _step(self, now_s: float, created: list[SimPyReplica], removed: list[SimPyReplica]) -> int:
        """Take one rollout step within the room there is now; returns how many more it would create."""
        current: list[SimPyReplica] = []
        obsolete_starting: list[SimPyReplica] = []
        obsolete_ready: list[SimPyReplica] = []
        for replica in self.existing:
            if self._is_current(replica):
                current.append(replica)
            elif replica.is_starting:
                obsolete_starting.append(replica)
            else:
                obsolete_ready.append(replica)
        starting_current = sum(replica.is_starting for replica in current)
        desired = self.configuration.replicas
        max_surge = self._world.max_surge
        step = rules.rollout(
            desired,
            rules.default_max_surge(desired) if max_surge is None else max_surge,
            self._world.max_unavailable,
            starting_current,
            len(obsolete_starting),
            len(current) - starting_current,
            len(obsolete_ready),
            self._room(now_s),
        )
        self._remove(
            [
                *obsolete_starting,
                *_first_to_go(current, step.remove_current),
                *_first_to_go(obsolete_ready, step.remove_ready_obsolete),
            ],
            now_s,
            removed,
        )
        created += [self._create(now_s) for _ in range(step.create)]
        return step.lacking

    def _remove(self, going: list[SimPyReplica], now_s: float, removed: list[SimPyReplica]) -> None:
        if not going:
            return
        for replica in going:
            replica.removed_s = now_s
        self.existing = [replica for replica in self.existing if replica.removed_s == NEVER]
        self.draining += going
        removed += going

    def taken(self, resource: str, now_s: float) -> int:
        """What all replicas that exist take of a resource, draining ones too."""
        draining = sum(replica.units[resource] for replica in self.draining if self.gone_s(replica) > now_s)
        return draining + sum(replica.units[resource] for replica in self.existing)

    @property
    def current(self) -> int:
        """How many replicas of the configured variant and cores exist that are not draining."""
        return sum(map(self._is_current, self.existing))

    def gone_s(self, replica: SimPyReplica) -> float:
        """When a removed replica is gone."""
        busy_until_s = replica.removed_s if self._world.removal == "lose" else replica.finish_s
        return rules.gone_s(replica.removed_s, busy_until_s, self._world.stop_s)

    def _room(self, now_s: float) -> int:
        """How many replicas can be created now."""
        units_of_one = self._units_of_one
        return min(
            (
                max(budget - self.taken(resource, now_s), 0) // units_of_one[resource]
                for resource, budget in self.budgets.items()
                if units_of_one[resource]
            ),
            default=self.configuration.replicas,
        )

    def _replace(self, now_s: float, removed: list[SimPyReplica]) -> bool:
        """Remove an obsolete ready replica to make room, if the rules say so."""
        current = [replica for replica in self.existing if self._is_current(replica)]
        obsolete = [replica for replica in self.existing if not self._is_current(replica)]  # all of them ready
        units_of_one = self._units_of_one
        replaces = self._world.when_full == "replace" and rules.must_replace(
            sum(replica.is_starting for replica in current),
            len(obsolete),
            tuple(sum(replica.units[resource] for replica in current) for resource in self.budgets),
            tuple(sum(replica.units[resource] for replica in self.existing) for resource in self.budgets),
            tuple(units_of_one[resource] for resource in self.budgets),
            tuple(self.budgets.values()),
        )
        if replaces:
            self._remove(_first_to_go(obsolete, 1), now_s, removed)
        return replaces

    def counts(self, now_s: float) -> dict[str, ReplicaCounts]:
        """How many replicas of each variant are in each state; variants without replicas are left out."""
        stop_s = self._world.stop_s
        self.draining = [replica for replica in self.draining if replica.gone_s(stop_s) > now_s]
        tally = {variant: [0, 0, 0] for variant in self._model.start_up_s}
        for replica in self.existing:
            tally[replica.variant][0 if replica.is_starting else 1] += 1
        for replica in self.draining:
            tally[replica.variant][2] += 1
        return {variant: ReplicaCounts(*states) for variant, states in tally.items() if any(states)}

    def log(self) -> Replicas:
        """All replicas as arrays."""
        replicas = self.all

        def moments(values: Iterable[float]) -> FloatArray:
            return np.array(list(values), dtype=np.float64)

        return Replicas(
            variant=tuple(replica.variant for replica in replicas),
            cores=np.array([replica.cores for replica in replicas], dtype=np.int64),
            created_s=moments(replica.created_s for replica in replicas),
            ready_s=moments(replica.ready_s for replica in replicas),
            removed_s=moments(replica.removed_s for replica in replicas),
            finish_s=moments(replica.finish_s for replica in replicas),
        )

    def _is_current(self, replica: SimPyReplica) -> bool:
        desired = self.configuration
        return replica.variant == desired.variant and replica.cores == desired.cores

    def _create(self, now_s: float) -> SimPyReplica:
        variant, cores = self.configuration.variant, self.configuration.cores
        service = self._model.service[variant, cores]
        number = len(self.all)
        replica = SimPyReplica(number, variant, cores, service, now_s, self._units_of_one)
        self.all.append(replica)
        self.existing.append(replica)
        return replica

    @property
    def _units_of_one(self) -> Mapping[str, int]:
        """Resource -> what a replica of the configuration takes."""
        variant, cores = self.configuration.variant, self.configuration.cores
        return {resource: self._model.taken(resource, variant, cores) for resource in RESOURCES}

    def variant_numbers(self) -> IntArray:
        """The position of each replica's variant in the model, by the replica's number."""
        numbers = {variant: number for number, variant in enumerate(self._model.start_up_s)}
        return np.array([numbers[replica.variant] for replica in self.all], dtype=np.int64)

    def _sort_idle(self) -> None:
        """Rebuild the heaps of idle replicas, by whether they have the configured variant; count the ready ones."""
        self.idle = []
        self.idle_others = []
        self.ready = sum(not replica.is_starting for replica in self.existing)
        for replica in self.existing:
            replica.is_preferred = replica.variant == self.configuration.variant
            if replica.batch is None and not replica.is_starting:
                (self.idle if replica.is_preferred else self.idle_others).append(replica.number)
        heapify(self.idle)
        heapify(self.idle_others)


def _first_to_go(replicas: list[SimPyReplica], count: int) -> list[SimPyReplica]:
    """The first `count` of these replicas in the order of removal."""
    return sorted(replicas, key=removal_order)[:count] if count else []


def removal_order(replica: SimPyReplica) -> tuple[int, int]:
    """As `rules.removal_order`."""
    return rules.removal_order(replica.is_starting, replica.batch is not None, replica.number)

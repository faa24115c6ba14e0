"""The replicas of one stage on real machines: which exist, what a rollout does next, which variants fail to start.

Times are seconds on the run's clock. The rollout itself is the model's (rule 5, `ipa.sim.rules.rollout`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import NamedTuple

import numpy as np

from ipa.policies import ReplicaCounts, StageConfiguration
from ipa.sim import NEVER, ReplicaRecords, RoomLack, rules

FAILED_AFTER = 3
"""After how many failures in a row a variant counts as failed."""
STEADY_AFTER_S = 10.0
"""How long a replica has to serve before its variant counts as sound; one that dies earlier has failed to start."""
FORGIVEN_AFTER_S = 300.0
"""How long after its latest failure a variant may be tried again."""
LONGEST_BACK_OFF_S = 30.0


@dataclass(eq=False)
class Replica:
    """One copy of a variant: `url` is where it serves, `number` counts the stage's replicas from 0.

    `suspended_s`: since when, on the monotonic clock, the gateway sends it nothing, because it does not answer ready.
    `is_to_go`: it is to be removed, and counts as removed at `removed_s`, once the gateway sends it nothing more.
    """

    stage: str
    number: int
    variant: str
    cores: int
    created_s: float
    url: str = ""
    ready_s: float = NEVER
    removed_s: float = NEVER
    gone_s: float = NEVER
    is_busy: bool = False
    suspended_s: float = NEVER
    is_to_go: bool = False
    is_stopping: bool = False

    @property
    def name(self) -> str:
        return f"{self.stage}-{self.number}"

    @property
    def is_starting(self) -> bool:
        return not isfinite(self.ready_s)

    @property
    def is_removed(self) -> bool:
        return self.is_to_go or isfinite(self.removed_s)

    @property
    def is_gone(self) -> bool:
        return isfinite(self.gone_s)


class Change(NamedTuple):
    """What one rollout step asks for: replicas to create, of the configured variant, and those to remove.

    `lacks_room`: it would create more if the stage's budget of cores left room.
    """

    create: int
    remove: list[Replica]
    lacks_room: bool = False


@dataclass
class _Failures:
    """How often in a row a variant has failed, and when last."""

    count: int = 0
    latest_s: float = 0.0

    @property
    def back_off_s(self) -> float:
        """None after the first failure, then doubling from half a second."""
        return 0.0 if self.count < 2 else min(0.5 * 2.0 ** (self.count - 2), LONGEST_BACK_OFF_S)


@dataclass
class StageReplicas:
    """All replicas that a stage has had, in order of creation.

    `max_surge` None: a quarter of the desired replicas, rounded up. `replaces`: whether a rollout without room replaces
    one replica after the other, or waits.
    """

    stage: str
    configuration: StageConfiguration
    max_surge: int | None = None
    max_unavailable: int = 0
    replaces: bool = True
    budget_cores: int | None = None
    """The most cores that its replicas may have until the next decision; None: there is no limit."""
    all: list[Replica] = field(default_factory=list)
    deaths: Counter[str] = field(default_factory=Counter)
    """By variant, how many replicas have ended by themselves."""
    _failures: dict[str, _Failures] = field(default_factory=dict)
    batches: list[tuple[float, int]] = field(init=False)
    """The batch sizes in force, as (since when, size)."""
    _lacks_room_since_s: float = NEVER
    _room_lacks: list[tuple[float, float]] = field(default_factory=list)
    """When the stage lacked room, and no longer does."""

    def __post_init__(self) -> None:
        self.batches = [(0.0, self.configuration.batch)]

    def note_batch(self, batch: int, since_s: float, now_s: float) -> None:
        """Record the batch size. A changed one came into force between `since_s` and now; the larger one counts for all
        of that time."""
        before = self.batches[-1][1]
        if batch != before:
            self.batches.append((since_s if batch > before else now_s, batch))

    # ---- replicas ----

    @property
    def existing(self) -> list[Replica]:
        """Starting and ready ones."""
        return [replica for replica in self.all if not replica.is_removed]

    @property
    def draining(self) -> list[Replica]:
        """Removed ones that are not gone yet."""
        return [replica for replica in self.all if replica.is_removed and not replica.is_gone]

    @property
    def ready(self) -> list[Replica]:
        return [replica for replica in self.existing if not replica.is_starting]

    def create(self, now_s: float) -> Replica:
        configuration = self.configuration
        replica = Replica(self.stage, len(self.all), configuration.variant, configuration.cores, now_s)
        self.all.append(replica)
        return replica

    def roll_out(self, now_s: float) -> Change:
        """The next rollout step; no replica is created while the variant's back-off lasts."""
        create, remove = 0, list[Replica]()
        while True:
            step, leaving, obsolete = self._step(create, remove)
            create += step.create
            remove += leaving
            if not step.lacking or not self._must_replace(create, remove, len(obsolete)):
                break
            remove += _first_to_go(obsolete, 1)
        return Change(create if self.back_off_left_s(now_s) <= 0.0 else 0, remove, step.lacking > 0)

    def _step(self, create: int, remove: Sequence[Replica]) -> tuple[rules.Rollout, list[Replica], list[Replica]]:
        """One step after so many have been created and these removed: its numbers, the replicas that it removes, and
        the obsolete ones that it leaves, all of them ready."""
        configuration = self.configuration
        staying = [replica for replica in self.existing if replica not in remove]
        current = [replica for replica in staying if self._is_current(replica)]
        obsolete = [replica for replica in staying if not self._is_current(replica)]
        obsolete_starting = [replica for replica in obsolete if replica.is_starting]
        obsolete_ready = [replica for replica in obsolete if not replica.is_starting]
        starting_current = sum(replica.is_starting for replica in current)
        step = rules.rollout(
            configuration.replicas,
            rules.default_max_surge(configuration.replicas) if self.max_surge is None else self.max_surge,
            self.max_unavailable,
            starting_current + create,
            len(obsolete_starting),
            len(current) - starting_current,
            len(obsolete_ready),
            self._room(create),
        )
        no_longer = _first_to_go(obsolete_ready, step.remove_ready_obsolete)
        leaving = [*obsolete_starting, *_first_to_go(current, step.remove_current), *no_longer]
        return step, leaving, [replica for replica in obsolete_ready if replica not in no_longer]

    def _is_current(self, replica: Replica) -> bool:
        return (replica.variant, replica.cores) == (self.configuration.variant, self.configuration.cores)

    def _room(self, create: int) -> int:
        """How many replicas can be created beside the `create` that will be."""
        configuration = self.configuration
        if self.budget_cores is None:
            return configuration.replicas
        return max(self.budget_cores - self.cores - create * configuration.cores, 0) // configuration.cores

    def _must_replace(self, create: int, remove: Sequence[Replica], obsolete_ready: int) -> bool:
        assert self.budget_cores is not None
        cores = self.configuration.cores
        staying = [replica for replica in self.existing if replica not in remove]
        current = [replica for replica in staying if self._is_current(replica)]
        return self.replaces and rules.must_replace(
            create + sum(replica.is_starting for replica in current),
            obsolete_ready,
            (sum(replica.cores for replica in current) + create * cores,),
            (sum(replica.cores for replica in staying) + create * cores,),
            (cores,),
            (self.budget_cores,),
        )

    def note_room(self, lacks_room: bool, now_s: float) -> None:
        """Take down whether the stage lacks room for a replica now."""
        if lacks_room:
            self._lacks_room_since_s = min(self._lacks_room_since_s, now_s)
        elif self._lacks_room_since_s != NEVER:
            self._room_lacks.append((self._lacks_room_since_s, now_s))
            self._lacks_room_since_s = NEVER

    def room_lack(self, until_s: float) -> RoomLack:
        """How often and how long the stage has lacked room until then."""
        spans = [*self._room_lacks, (self._lacks_room_since_s, NEVER)]
        lasted_s = [min(end_s, until_s) - start_s for start_s, end_s in spans if start_s < until_s]
        return RoomLack(len(lasted_s), sum(lasted_s))

    def restart(self) -> None:
        """Set t = 0: existing replicas have always existed, and those that have gone are gone. Earlier times are of
        another clock."""
        for replica in self.all:
            replica.created_s = 0.0
            replica.ready_s, replica.removed_s, replica.gone_s = (
                0.0 if isfinite(each_s) else NEVER for each_s in (replica.ready_s, replica.removed_s, replica.gone_s)
            )
        for failures in self._failures.values():
            failures.latest_s = 0.0
        self._room_lacks, self._lacks_room_since_s = [], NEVER

    # ---- failures ----

    def died(self, replica: Replica, now_s: float) -> None:
        """A replica has ended by itself; if before it served steadily, its variant has failed to start."""
        replica.removed_s = now_s
        self.deaths[replica.variant] += 1
        if not replica.is_starting and now_s - replica.ready_s >= STEADY_AFTER_S:
            return
        failures = self._failures.setdefault(replica.variant, _Failures())
        failures.count += 1
        failures.latest_s = now_s

    def note_steady(self, now_s: float) -> None:
        """Forget the failures of variants with a replica that has served long enough, and those of long ago."""
        steady = {replica.variant for replica in self.ready if now_s - replica.ready_s >= STEADY_AFTER_S}
        self._failures = {
            variant: failures
            for variant, failures in self._failures.items()
            if variant not in steady and now_s - failures.latest_s < FORGIVEN_AFTER_S
        }

    def back_off_left_s(self, now_s: float) -> float:
        """How long the configured variant may not be started again."""
        failures = self._failures.get(self.configuration.variant)
        return 0.0 if failures is None else failures.latest_s + failures.back_off_s - now_s

    @property
    def failed_variants(self) -> tuple[str, ...]:
        """Variants that fail whenever they are started."""
        return tuple(sorted(name for name, failures in self._failures.items() if failures.count >= FAILED_AFTER))

    # ---- what observations and records say ----

    def counts(self) -> dict[str, ReplicaCounts]:
        """How many replicas of each variant exist, by state."""
        tally: dict[str, list[int]] = {}
        for replica in self.all:
            if not replica.is_gone:
                state = 2 if replica.is_removed else 0 if replica.is_starting else 1
                tally.setdefault(replica.variant, [0, 0, 0])[state] += 1
        return {variant: ReplicaCounts(*states) for variant, states in sorted(tally.items())}

    def available_s(self, since_s: float, until_s: float) -> float:
        """Seconds that replicas have been ready within a span, those draining included."""
        spans = ((max(replica.ready_s, since_s), min(replica.gone_s, until_s)) for replica in self.all)
        return sum(max(end_s - start_s, 0.0) for start_s, end_s in spans)

    @property
    def cores(self) -> int:
        return sum(replica.cores for replica in self.all if not replica.is_gone)

    def core_s(self, until_s: float) -> float:
        """Core-seconds so far: each replica from creation until it is gone."""
        return sum(replica.cores * max(min(replica.gone_s, until_s) - replica.created_s, 0.0) for replica in self.all)

    def records(self) -> ReplicaRecords:
        """The timeline, in the form of the simulator's tables."""

        def moments(moment_of: Callable[[Replica], float]) -> np.typing.NDArray[np.float64]:
            values = np.array([moment_of(replica) for replica in self.all], dtype=np.float64)
            return np.where(np.isfinite(values), values, np.nan)

        return ReplicaRecords(
            variant=tuple(replica.variant for replica in self.all),
            cores=np.array([replica.cores for replica in self.all], dtype=np.int64),
            created_s=moments(lambda replica: replica.created_s),
            ready_s=moments(lambda replica: replica.ready_s),
            removed_s=moments(lambda replica: replica.removed_s),
            gone_s=moments(lambda replica: replica.gone_s),
        )


def _first_to_go(replicas: Sequence[Replica], count: int) -> list[Replica]:
    return sorted(
        replicas, key=lambda replica: rules.removal_order(replica.is_starting, replica.is_busy, replica.number)
    )[:count]

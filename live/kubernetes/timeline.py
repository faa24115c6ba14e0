"""From pods to the replicas of the run: when each was created, became ready, was removed and was gone.

What a watch reports as it happens is dated by the run's own clock, to within the latency of the watch. What is found
later, by a list or by a watch that had broken off, is dated by the API server's timestamps, which are whole seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ipa.live.kubernetes.pods import Pod
from ipa.live.stage_replicas import Replica, StageReplicas

EXCLUDED_FOR_S = 300.0
"""How long a variant that did not become ready is excluded."""


def left_out(failed: Mapping[str, float], wall_s: float) -> dict[str, float]:
    """The variants, with the times of their failures [Unix time], that are still excluded."""
    return {variant: at_s for variant, at_s in failed.items() if at_s + EXCLUDED_FOR_S > wall_s}


@dataclass
class PodReplicas(StageReplicas):
    """The replicas of one stage. `excluded`: variant -> when it failed to start [Unix time]. `decided_at`: the step by
    which its present variants were chosen; None: by none of this run.
    """

    excluded: dict[str, float] = field(default_factory=dict)
    decided_at: int | None = None

    @property
    def failed_variants(self) -> tuple[str, ...]:
        """Variants that may not be chosen now."""
        return tuple(sorted(self.excluded))

    def exclude(self, failed: Mapping[str, float], wall_s: float) -> None:
        """Exclude variants that have failed at these times, as far as that still counts at `wall_s` [Unix time]."""
        self.excluded = left_out(failed, wall_s) | self.excluded

    def forgive(self, wall_s: float) -> None:
        """Allow variants again whose exclusion has expired at `wall_s` [Unix time]."""
        self.excluded = left_out(self.excluded, wall_s)


class Timeline:
    """Keeps the replicas of all stages up to date with the pods."""

    def __init__(self, stages: Mapping[str, StageReplicas]) -> None:
        self.stages = stages
        self._replicas: dict[str, Replica] = {}  # by the pod's uid
        # stage and the gateway's number of a pod -> our numbers: a restarted container is another replica
        self._numbers: dict[tuple[str, int], list[int]] = {}
        self._restarts: dict[str, int] = {}
        self._forgotten: set[str] = set()  # pods that are still listed but no longer wanted

    def note(self, pods: Mapping[str, Pod], is_fresh: bool, now_s: float, wall_s: float) -> None:
        """Take over the state of the pods at `now_s` of the run, which is `wall_s` in Unix time."""

        def moment(at_s: float) -> float:
            return now_s if is_fresh else min(at_s - wall_s + now_s, now_s)

        self._forgotten &= pods.keys()
        for uid, pod in sorted(pods.items(), key=lambda item: item[1].number):
            if pod.stage in self.stages and uid not in self._forgotten:
                replica = self._replicas.get(uid) or self._first(uid, pod, moment(pod.created_s))
                self._update(replica, pod, moment, now_s, wall_s)
        for uid, replica in self._replicas.items():
            if uid not in pods and not replica.is_gone:
                replica.removed_s = min(replica.removed_s, now_s)
                replica.gone_s = now_s

    def _first(self, uid: str, pod: Pod, at_s: float) -> Replica:
        """The replica of a new pod; its earlier crashes do not count as deaths in this run."""
        self._restarts[uid] = pod.restarts
        return self._created(uid, pod, at_s)

    def _created(self, uid: str, pod: Pod, at_s: float) -> Replica:
        stage = self.stages[pod.stage]
        replica = Replica(pod.stage, len(stage.all), pod.variant, pod.cores, at_s)
        stage.all.append(replica)
        self._replicas[uid] = replica
        self._numbers.setdefault((pod.stage, pod.number), []).append(replica.number)
        return replica

    def _update(
        self, replica: Replica, pod: Pod, moment: Callable[[float], float], now_s: float, wall_s: float
    ) -> None:
        if replica.is_starting and pod.ready_s is not None:
            replica.ready_s = moment(pod.ready_s)
        if not replica.is_removed and (pod.removed_s is not None or pod.is_over):
            replica.removed_s = now_s if pod.removed_s is None else moment(pod.removed_s)
        if replica.is_removed and not replica.is_gone:
            self._end(replica, pod, now_s, wall_s)
        crashed = pod.restarts - self._restarts[pod.uid]
        if crashed > 0:
            self.stages[pod.stage].deaths[pod.variant] += crashed
            self._restarts[pod.uid] = pod.restarts
            if not (replica.is_starting or replica.is_removed):
                self._succeed(replica, pod, now_s)

    def _succeed(self, replica: Replica, pod: Pod, now_s: float) -> None:
        """A replica that served has died; its pod is now another replica, which costs the same cores from the start."""
        replica.removed_s = replica.gone_s = now_s
        successor = self._created(pod.uid, pod, now_s)
        if pod.ready_s is not None:
            successor.ready_s = now_s

    @staticmethod
    def _end(replica: Replica, pod: Pod, now_s: float, wall_s: float) -> None:
        """A replica is gone, and costs nothing, once its containers have ended; its pod stays for some seconds."""
        if pod.ended_s is not None:
            replica.gone_s = min(max(pod.ended_s - wall_s + now_s, replica.removed_s), now_s)
        elif pod.is_over:
            replica.gone_s = now_s

    def restart(self) -> None:
        """Make this t = 0: forget what is gone; what exists has existed since t = 0."""
        self._keep(lambda replica: not replica.is_gone)
        for stage in self.stages.values():
            for replica in stage.all:
                replica.created_s = 0.0
                replica.ready_s = replica.ready_s if replica.is_starting else 0.0

    def set_forward(self, by_s: float) -> None:
        """Shift all times, as the run's clock is set forward (below 0: back)."""
        for stage in self.stages.values():
            for replica in stage.all:
                replica.created_s += by_s
                replica.ready_s += by_s
                replica.removed_s += by_s
                replica.gone_s += by_s

    def forget(self, before_s: float) -> None:
        """Forget replicas that were gone before a moment, as a controller without an end has to."""
        if any(replica.gone_s < before_s for stage in self.stages.values() for replica in stage.all):
            self._keep(lambda replica: replica.gone_s >= before_s)

    def _keep(self, is_kept: Callable[[Replica], bool]) -> None:
        """Forget all other replicas; those that stay are renumbered by their new positions."""
        self._forgotten |= {uid for uid, replica in self._replicas.items() if not is_kept(replica)}
        self._replicas = {uid: replica for uid, replica in self._replicas.items() if is_kept(replica)}
        self._restarts = {uid: count for uid, count in self._restarts.items() if uid in self._replicas}
        moved: dict[tuple[str, int], int] = {}  # stage and number -> the new number
        for name, stage in self.stages.items():
            stage.all = [replica for replica in stage.all if is_kept(replica)]
            for position, replica in enumerate(stage.all):
                moved[name, replica.number] = position
                replica.number = position
        self._numbers = {
            (name, gateways): renumbered
            for (name, gateways), numbers in self._numbers.items()
            if (renumbered := [moved[name, number] for number in numbers if (name, number) in moved])
        }

    def served(self, stage: str, number: int, start_s: float) -> None:
        """A replica has started a batch, so it was ready then and not yet removed, even if this watch saw the one a
        little later or the other a little earlier: the gateway's record counts."""
        if 0 <= number < len(self.stages[stage].all):
            replica = self.stages[stage].all[number]
            replica.ready_s = min(replica.ready_s, start_s)
            replica.removed_s = max(replica.removed_s, start_s)

    def number(self, stage: str, gateways: int, start_s: float) -> int:
        """The position in the table of the replica that started a batch at `start_s`, by the gateway's number; -1 for
        one that was never seen."""
        numbers = self._numbers.get((stage, gateways), [])
        created = (number for number in reversed(numbers) if self.stages[stage].all[number].created_s <= start_s)
        return next(created, numbers[0] if numbers else -1)

"""What a live system may lose in a rollout and the model does not.

In the model, a removed replica finishes its batch, batches that wait at it return to the queue, and a queue outlives a
change of the batch size. Where a container is ended at once, what it holds is lost with it: the requests in service at
a replica (counted afterwards), those that wait there, and those that wait in a queue whose container is replaced as its
batch size is in its environment (both dropped at that moment, by stages of the SimPy engine).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt

from ipa.policies import StageConfiguration
from ipa.sim import Records
from ipa.sim.events import engine
from ipa.sim.events.eager import EagerStage
from ipa.sim.events.replica_set import SimPyReplica
from ipa.sim.events.stage import SimPyStage


def interrupted(records: Records) -> npt.NDArray[np.bool_]:
    """Whether each request was in service at a replica, at any stage, when that was removed."""
    found = np.zeros(len(records.arrival_s), dtype=bool)
    for stage, replicas in enumerate(records.replicas):
        served = np.isfinite(records.start_s[stage])
        removed_s = replicas.removed_s[records.replica[stage][served]]
        found[served] |= (records.start_s[stage][served] <= removed_s) & (removed_s < records.finish_s[stage][served])
    return found


@contextmanager
def losing(losses: Collection[str]) -> Iterator[None]:
    """Let the stages of the SimPy engine lose what waits "at replicas" and "at the queue", as far as named."""

    def made(kind: type[SimPyStage]) -> Any:
        bases: tuple[type, ...] = (kind,)
        if "at replicas" in losses:
            bases = (_LosesAtReplicas, *bases)
        if "at the queue" in losses:
            bases = (_LosesTheQueue, *bases)
        return type("Losing", bases, {})

    with (
        mock.patch.object(engine, "SimPyStage", made(SimPyStage)),
        mock.patch.object(engine, "EagerStage", made(EagerStage)),
    ):
        yield


class _LosesAtReplicas(SimPyStage):
    def _take_back(self, removed: list[SimPyReplica]) -> None:
        end = self.head
        super()._take_back(removed)
        _drop_up_to(self, end)


class _LosesTheQueue(SimPyStage):
    def configure(self, configuration: StageConfiguration, now_s: float) -> None:
        """As `SimPyStage.configure`, after the loss of what waits in the queue."""
        if configuration.batch != self.configuration.batch:
            _drop_up_to(self, bisect_right(self.enqueued_s, now_s, self.head))
        super().configure(configuration, now_s)


def _drop_up_to(stage: SimPyStage, end: int) -> None:
    for request in stage.queue[stage.head : end]:
        stage._drop(request, stage._env.now)
    stage.head = end

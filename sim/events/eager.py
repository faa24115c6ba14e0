"""Eager dispatch, as in the published system: a batch leaves the queue as soon as it is formed.

It then waits at a replica that is chosen round-robin, busy or not. When a replica is removed, the batches waiting there
return to the head of the queue.
"""

from __future__ import annotations

from ipa.sim import rules
from ipa.sim.events.replica_set import SimPyReplica, WaitingBatch
from ipa.sim.events.stage import SimPyStage
from ipa.sim.rules import NEVER


class EagerStage(SimPyStage):
    """A stage whose replicas have queues of formed batches."""

    _formed = 0
    _last_chosen = -1

    def attempt(self, now_s: float) -> None:
        """Form every batch that can be formed now, each for the ready replica whose turn it is."""
        self._timer_s = NEVER
        while (replica := self._next_in_turn()) is not None:
            if self._waits(now_s):
                return
            head = self.head
            requests = self._take(rules.dispatch_size(self._batch, replica.max_batch), now_s)
            if not requests:
                continue
            self._last_chosen = replica.number
            left_queue = zip(self.queue[head : self.head], self.enqueued_s[head : self.head], strict=True)
            enqueued_s = dict(left_queue)  # by request: of the batch, and of dropped requests between its own
            replica.waiting.append(WaitingBatch(self._formed, requests, [enqueued_s[request] for request in requests]))
            self._formed += 1
            self.at_replicas += len(requests)
            if replica.batch is None:
                self._serve_waiting(replica, now_s)

    def _next_in_turn(self) -> SimPyReplica | None:
        """The next ready replica, round-robin: the next number after the one chosen last, else the lowest."""
        ready = [replica for replica in self.replicas.existing if not replica.is_starting]
        later = (replica for replica in ready if replica.number > self._last_chosen)
        return next(later, ready[0] if ready else None)

    def _serve_waiting(self, replica: SimPyReplica, now_s: float) -> None:
        requests = replica.waiting.popleft().requests
        self.at_replicas -= len(requests)
        self._start(replica, requests, now_s)

    def _take_back(self, removed: list[SimPyReplica]) -> None:
        waiting = sorted(batch for replica in removed for batch in replica.waiting)
        for replica in removed:
            replica.waiting.clear()
        requests = [request for batch in waiting for request in batch.requests]
        self.at_replicas -= len(requests)
        enqueued_s = [moment for batch in waiting for moment in batch.enqueued_s]
        # These requests were taken from before the head, so there is room for them.
        end, self.head = self.head, self.head - len(requests)
        self.queue[self.head : end] = requests
        self.enqueued_s[self.head : end] = enqueued_s

"""The model as a SimPy beginner writes it: a process per request, a Store per queue, an event for every wait.

Fixed configuration, no drops, no rollouts: the yardstick of speed, and equal to the engine where both can run a model.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import simpy

Process = Generator[simpy.Event, Any, None]


class NaiveStage:
    """A queue whose replicas are processes, each gathering its own batches while it is first in line."""

    def __init__(
        self, env: simpy.Environment, replicas: int, batch: int, batch_timeout_s: float, latency_s: list[float]
    ) -> None:
        self.env = env
        self.queue = simpy.Store(env)
        self.turn = simpy.Resource(env, capacity=1)
        self.batch = batch
        self.batch_timeout_s = batch_timeout_s
        self.latency_s = latency_s
        for _ in range(replicas):
            env.process(self.serve())

    def serve(self) -> Process:
        """Gather a batch, hold it for its service time, tell its requests; again and again."""
        while True:
            with self.turn.request() as turn:
                yield turn
                first = yield self.queue.get()
                members = [first]
                deadline = self.env.timeout(max(0.0, first[0] + self.batch_timeout_s - self.env.now))
                while len(members) < self.batch:
                    another = self.queue.get()
                    yield another | deadline
                    if not another.triggered:
                        another.cancel()
                        break
                    members.append(another.value)
            yield self.env.timeout(self.latency_s[len(members)])
            for _, done in members:
                done.succeed()


def simulate(arrivals_s: list[float], stages: list[dict[str, Any]]) -> list[float]:
    """The finish time of every request after the last stage; each stage is given as the arguments of `NaiveStage`."""
    env = simpy.Environment()
    pipeline = [NaiveStage(env, **stage) for stage in stages]
    finish_s = [0.0] * len(arrivals_s)

    def request(number: int) -> Process:
        for stage in pipeline:
            done = env.event()
            yield stage.queue.put((env.now, done))
            yield done
        finish_s[number] = env.now

    def source() -> Process:
        for number, arrival_s in enumerate(_with_zero(arrivals_s)):
            yield env.timeout(arrival_s)
            env.process(request(number))

    env.process(source())
    env.run()
    return finish_s


def _with_zero(arrivals_s: list[float]) -> Iterator[float]:
    """The gaps before each arrival."""
    before_s = 0.0
    for arrival_s in arrivals_s:
        yield arrival_s - before_s
        before_s = arrival_s

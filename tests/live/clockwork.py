"""A backend whose time is made of numbers, and a policy that counts: for tests of the live loop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ipa.policies import (
    Applied,
    Configuration,
    Decision,
    Memory,
    Observation,
)
from tests.tiny import observation, published, two_by_two

PIPELINE = two_by_two(published())


class Counts:
    """A policy that counts its steps in its memory and nowhere else."""

    def decide(self, observation: Observation, memory: Memory) -> Decision:
        return Decision(observation.configuration, {"steps": memory.get("steps", 0) + 1})


class Clockwork:
    """A backend whose clock moves by sleeping, and in some steps by how long they last."""

    def __init__(self, lasting_s: Mapping[int, float]) -> None:
        self.now_s = 0.0
        self.lasting_s = lasting_s
        self.step, self.late = 0, ""
        self.begun: list[tuple[int, float]] = []
        self.problems: list[str] = []

    def begin_step(self, step: int, late: str = "") -> None:
        self.step, self.late = step, late
        self.begun.append((step, self.now_s))

    def observe(self) -> Observation:
        return replace(observation(), step=self.step, time_s=self.now_s)

    def apply(self, configuration: Configuration) -> Applied:
        self.now_s += self.lasting_s.get(self.step, 0.0)
        return Applied(True, self.late)

    def fail(self, text: str) -> None:
        self.problems.append(text)

    async def sleep(self, seconds: float) -> bool:
        self.now_s += seconds
        return True

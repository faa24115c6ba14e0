"""The memory between decisions: JSON of bounded size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from typing import Any, Self

from ipa.policies.interface import Configuration, Memory, Observation, StageConfiguration

KEY = "foresight"
"""The key of all this in a policy's memory."""

Curve = tuple[float, ...]
"""By multiple of the level: the share of an interval's requests that would be late; trailing zeros are left out."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Decisions of one kind: the sum of their curves, and their number. Both fade."""

    late: Curve = ()
    decisions: float = 0.0


@dataclass(frozen=True, slots=True)
class Burst:
    """A rise that decisions did not plan for: the time of the first of them on the policy's clock [s], and the sum of
    their curves."""

    at_s: float
    late: Curve


@dataclass(frozen=True, slots=True)
class StageMemory:
    """A stage at the previous step: the requests waiting, its ready replicas by variant (None: some were starting or
    draining), its batch size, and the share of its profiled throughput that it reaches."""

    waiting: int
    ready: Mapping[str, int] | None
    batch: int
    reaches: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """The whole memory.

    `now_s`: the time of the decision on the policy's clock; `seen_s`: how long the load has been observed;
    `tallies`: of steady, rising and falling decisions, without those in `bursts`; `period_s`: the period of the bursts;
    `slow_rps`, `usual_rps`: the mean load of ten minutes and of an hour; `held_rps`, `planned_rps`: the lasting rate,
    before and after rounding to a step; `decided`: the configuration; `lost`: what keeping the variants has lost
    [objective x s]; None before the first decision.
    """

    now_s: float
    seen_s: float = 0.0
    tallies: tuple[Tally, Tally, Tally] = (Tally(), Tally(), Tally())
    bursts: tuple[Burst, ...] = ()
    period_s: float | None = None
    slow_rps: float = 0.0
    usual_rps: float = 0.0
    held_rps: float = 0.0
    planned_rps: float = 0.0
    decided: Configuration = field(default_factory=dict)
    lost: float | None = None
    stages: Mapping[str, StageMemory] = field(default_factory=dict)

    @classmethod
    def of(cls, memory: Memory) -> Self | None:
        """From a policy's memory; None before the first decision."""
        plain = memory.get(KEY)
        if plain is None:
            return None
        steady, rising, falling = (Tally(tuple(late), decisions) for late, decisions in plain["tallies"])
        return cls(
            **{
                "usual_rps": plain["slow_rps"],  # journals of 0.2.0 lack it
                **plain,
                "tallies": (steady, rising, falling),
                "bursts": tuple(Burst(at_s, tuple(late)) for at_s, late in plain["bursts"]),
                "decided": {name: StageConfiguration(*row) for name, row in plain.get("decided", {}).items()},
                "stages": {name: StageMemory(*row) for name, row in plain["stages"].items()},
            }
        )

    def into(self, memory: Memory) -> dict[str, Any]:
        """A policy's memory with this in it."""
        plain: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        plain["tallies"] = [[list(entry.late), entry.decisions] for entry in self.tallies]
        plain["bursts"] = [[entry.at_s, list(entry.late)] for entry in self.bursts]
        plain["decided"] = {name: list(astuple(entry)) for name, entry in self.decided.items()}
        plain["stages"] = {
            name: [entry.waiting, entry.ready, entry.batch, entry.reaches] for name, entry in self.stages.items()
        }
        return {**memory, KEY: plain}


def clock_s(observation: Observation, before: Remembered | None) -> float:
    """The time on the policy's clock, in whole seconds, as loads are counted.

    A decision some milliseconds late has the same phase of a period: if the clock is within a second of the previous
    step plus the interval, that sum counts.
    """
    shown_s = observation.time_s if observation.clock_s is None else observation.clock_s
    if before is not None and abs(shown_s - (due_s := before.now_s + round(observation.elapsed_s))) < 1.0:
        return due_s
    return float(round(shown_s))
